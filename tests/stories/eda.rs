//! What went wrong when the seed's procedure for story 1.6 was run, and what a package's own records must not bring about: a
//! test each. See [`super::defects`].

use super::{
    Story,
    defects::{FLAGS, is_refused, seed},
    own,
};
use crate::{recovery::Rehearsal, support::promised};
use std::{fs, os::unix::fs::symlink};

const ENGINE: &str = "tools/data-services/eda-engine.js";
const STUB: &str = "tools/data-services/stubs/basic-analysis.js";
const ENVIRONMENT: &str = ".venv-eda";
const CONFIGURATION: &str = ".venv-eda/pyvenv.cfg";
const PACKAGES: &str = ".venv-eda/lib/python3.11/site-packages";
const HYPOTHESES: &str = ".cache/hypotheses/2024-03.md";

fn rehearsal() -> Rehearsal {
    Story::of("1.6").rehearsal()
}

fn at(name: &str) -> String {
    format!("{PACKAGES}/{name}")
}

#[test]
fn the_engine_is_overwritten_and_nobody_has_a_copy() {
    let site = rehearsal();
    let engine = site.read(ENGINE);
    let _ = site.apply();
    assert_eq!(site.read(ENGINE), site.read(STUB));
    let _ = site.unship(["undo", &site.run()]).exits(0);
    assert_eq!(site.read(ENGINE), engine);
    let _ = seed(&site, "1.6", &site.path(), 0).exits(0).prints("rollback completed");
    let text = |name: &std::ffi::OsStr| fs::read_to_string(site.at("tools/data-services").join(name)).ok();
    let files = fs::read_dir(site.at("tools/data-services")).expect("files");
    assert!(
        files.flatten().all(|file| text(&file.file_name()).as_ref() != Some(&engine)),
        "the seed's script has none"
    );
}

#[test]
fn hypotheses_are_removed_with_the_cache() {
    let site = rehearsal();
    let hypotheses = site.read(HYPOTHESES);
    let _ = site.apply();
    assert_eq!(site.read(&format!(".cache/hypotheses.unship-{}/2024-03.md", site.run())), hypotheses);
    assert!(!site.at(".cache/analysis/.index").exists(), "hidden files too");
    let _ = site.unship(["undo", &site.run()]).exits(0);
    let _ = seed(&site, "1.6", &site.path(), 0).exits(0);
    assert!(!site.at(HYPOTHESES).exists() && site.at(".cache/analysis/.index").exists());
}

#[test]
fn the_package_under_its_new_name_stays() {
    let site = rehearsal();
    let _ = site.apply().says("ydata-profiling 4.18.4 removed");
    for gone in ["ydata_profiling", "pandas_profiling", "sweetviz", "autoviz"] {
        assert!(!site.at(&at(gone)).exists(), "{gone}");
    }
    assert!(!site.at(".venv-eda/bin/ydata_profiling").exists() && site.at(".venv-eda/bin/activate").exists());
    assert!(site.at(&at("tqdm/__init__.py")).exists(), "what others need stays");
}

#[test]
fn an_environment_comes_back_byte_for_byte_without_an_index() {
    let site = rehearsal();
    // A patch by hand, which no index has.
    site.write(&at("sweetviz/sv_public.py"), "def analyze(source):\n    return 42\n");
    let before = promised(&site.at(ENVIRONMENT));
    let import = |module: &str| own(&site, ".venv-eda/bin/python3", &["-I", "-c", &format!("import {module}")]);
    let _ = import("sweetviz").exits(0);
    let _ = site.apply();
    let _ = import("sweetviz").exits(1).says("No module named 'sweetviz'");
    let _ = import("tqdm").exits(0);
    let _ = site.unship(["undo", &site.run()]).exits(0);
    let _ = import("sweetviz").exits(0);
    assert_eq!(before, promised(&site.at(ENVIRONMENT)));
}

#[test]
fn one_of_two_flags_goes_off() {
    let site = rehearsal();
    let flags = site.read(FLAGS);
    let _ = site.unship(["apply", "1.6", "--yes", "--inject", "fail@disable-eda"]).exits(4);
    assert_eq!(site.read(FLAGS), flags, "both or neither");
    site.write(FLAGS, &flags.replace("hypothesis_generation:", "hypotheses:"));
    is_refused(&site, "1.6", &["hypothesis_generation"]);
}

#[test]
fn packages_of_a_shared_interpreter_are_removed() {
    let site = rehearsal();
    let own = site.read(CONFIGURATION);
    for shared in [own.replace("= false", "= true"), own.replace("include-system-site-packages = false\n", "")] {
        site.write(CONFIGURATION, &shared);
        is_refused(&site, "1.6", &["packages-removable", "shares the packages of the system"]);
    }
    fs::remove_file(site.at(CONFIGURATION)).expect("removed");
    is_refused(&site, "1.6", &["packages-removable", "a shared interpreter's packages are others' too"]);
    // Its packages are a link to the machine's.
    site.write(CONFIGURATION, &own);
    fs::rename(site.at(".venv-eda/lib"), site.outside().join("lib")).expect("moved");
    symlink(site.outside().join("lib"), site.at(".venv-eda/lib")).expect("linked");
    is_refused(&site, "1.6", &["packages-removable", ".venv-eda/lib"]);
}

#[test]
fn a_package_that_another_needs_is_removed() {
    let site = rehearsal();
    let metadata = at("tqdm-4.70.1.dist-info/METADATA");
    let text = site.read(&metadata);
    for need in ["SweetViz (>=2)", "SweetViz ; python_version > \"3.8\"", "sweetviz[extra]>=2"] {
        site.write(&metadata, &text.replace("Version: 4.70.1\n", &format!("Version: 4.70.1\nRequires-Dist: {need}\n")));
        is_refused(&site, "1.6", &["packages-removable", "tqdm 4.70.1 needs sweetviz, and would be left without it"]);
    }
    site.write(&metadata, "Metadata-Version: 2.4\n\nName: tqdm\n");
    is_refused(&site, "1.6", &["packages-removable", "METADATA has no Name"]);
}

#[test]
fn a_record_leads_out_of_the_environment() {
    let site = rehearsal();
    let record = at("sweetviz-2.3.3.dist-info/RECORD");
    let text = site.read(&record);
    for (listed, why) in [
        ("../../../../config/api-config.yaml", "leads out of .venv-eda"),
        ("../../../../../../etc/passwd", "leads out of .venv-eda"),
        ("/etc/passwd", "is no relative path"),
        ("sweetviz/../../../../../config/api-config.yaml", "is no plain path"),
        ("sweetviz//x.py", "is no plain path"),
        ("sweetviz\\x.py", "a control character or a backslash"),
        ("\"sweetviz/x.py", "a quoted path does not end"),
        ("sweetviz/templates", "is not a regular file"),
    ] {
        site.write(&record, &format!("{text}{listed},,\n"));
        is_refused(&site, "1.6", &["packages-removable", "sweetviz-2.3.3.dist-info/RECORD", why]);
    }
    // What lies in the environment and is no package of the story's is out of reach, whatever the guest makes of it.
    for others in ["tqdm/__init__.py", "../../../bin/activate", "../../../pyvenv.cfg"] {
        site.write(&record, &format!("{text}{others},,\n"));
        is_refused(&site, "1.6", &[]);
    }
    site.write(&at("sweetviz/a,\"b\".txt"), "odd");
    site.write(&record, &format!("{text}\"sweetviz/a,\"\"b\"\".txt\",,\n"));
    let _ = site.apply();
    assert!(!site.at(&at("sweetviz")).exists());
}

#[test]
fn what_no_record_lists_stays_and_is_told() {
    let site = rehearsal();
    site.write(&at("sweetviz/notes.txt"), "somebody's own");
    let _ = site.apply().says("sweetviz stays: 1 entries in it are no package's");
    assert_eq!(site.read(&at("sweetviz/notes.txt")), "somebody's own");
}

#[test]
fn a_missing_engine_is_found_out_first() {
    let site = rehearsal();
    site.write(STUB, "const { execFile } = require('child_process');\n");
    is_refused(&site, "1.6", &["engine-supplied", "needs another process"]);
    fs::remove_file(site.at(STUB)).expect("removed");
    is_refused(&site, "1.6", &["engine-supplied", STUB]);
}
