//! The environment of Python's in which story 1.6 analyses, with records as pip writes them: small stand-ins for the packages,
//! under their names.

use super::write;
use anyhow::Result;
use std::path::Path;

const PACKAGES: &str = ".venv-eda/lib/python3.11/site-packages";
const CONFIGURATION: &str = "home = /usr/bin\ninclude-system-site-packages = false\nversion = 3.11.7\n";
/// What pip makes of an entry point.
const SCRIPT: &str =
    "#!.venv-eda/bin/python3\nimport sys\nfrom ydata_profiling.controller.console import main\nsys.exit(main())\n";

struct Distribution {
    name: &'static str,
    version: &'static str,
    needs: &'static [&'static str],
    /// Relative to the folder of packages, as their record lists them.
    files: &'static [(&'static str, &'static str)],
    /// What Python made beside it later, which no record lists.
    unlisted: &'static [&'static str],
}

const INSTALLED: &[Distribution] = &[
    Distribution {
        name: "autoviz",
        version: "0.1.905",
        needs: &["tqdm"],
        files: &[
            ("autoviz/__init__.py", "from .AutoViz_Class import *\n"),
            ("autoviz/AutoViz_Class.py", "import tqdm\n"),
        ],
        unlisted: &[],
    },
    Distribution {
        name: "sweetviz",
        version: "2.3.3",
        needs: &["tqdm>=4.43.0"],
        files: &[
            ("sweetviz/__init__.py", "from .sv_public import analyze\n"),
            ("sweetviz/sv_public.py", "def analyze(source):\n    return len(source)\n"),
            ("sweetviz/__pycache__/__init__.cpython-311.pyc", "made by pip"),
            ("sweetviz/templates/report.html", "<!doctype html>\n"),
        ],
        unlisted: &["sweetviz/__pycache__/sv_public.cpython-311.pyc"],
    },
    Distribution {
        name: "tqdm",
        version: "4.70.1",
        needs: &["sweetviz; extra == \"reports\""],
        files: &[("tqdm/__init__.py", "def tqdm(it):\n    return it\n")],
        unlisted: &[],
    },
    Distribution {
        name: "ydata_profiling",
        version: "4.18.4",
        needs: &["tqdm<5,>=4.66.3"],
        files: &[
            ("../../../bin/pandas_profiling", SCRIPT),
            ("../../../bin/ydata_profiling", SCRIPT),
            ("pandas_profiling/__init__.py", "from ydata_profiling import *\n"),
            ("ydata_profiling/__init__.py", ""),
            ("ydata_profiling/controller/console.py", "def main():\n    return 0\n"),
        ],
        unlisted: &[],
    },
];

/// Writes the environment, without its interpreter.
///
/// # Errors
/// When something cannot be written.
pub fn lay_out(dir: &Path) -> Result<()> {
    write(dir.join(".venv-eda/pyvenv.cfg"), CONFIGURATION.as_bytes())?;
    write(dir.join(".venv-eda/bin/activate"), b"VIRTUAL_ENV=.venv-eda\n")?;
    let packages = dir.join(PACKAGES);
    for Distribution { name, version, needs, files, unlisted } in INSTALLED {
        let info = format!("{name}-{version}.dist-info");
        let needs: String = needs.iter().map(|need| format!("Requires-Dist: {need}\n")).collect();
        let metadata = format!("Metadata-Version: 2.4\nName: {name}\nVersion: {version}\n{needs}\nA stand-in.\n");
        let record = [format!("{info}/METADATA"), format!("{info}/RECORD")];
        let listed = files.iter().map(|(path, _)| (*path).to_owned()).chain(record);
        let record: String = listed.map(|path| format!("{path},,\n")).collect();
        write(packages.join(&info).join("METADATA"), metadata.as_bytes())?;
        write(packages.join(&info).join("RECORD"), record.as_bytes())?;
        for (path, text) in *files {
            // The folders that a path leads back out of are there by now.
            write(packages.join(path), text.as_bytes())?;
        }
        for path in *unlisted {
            write(packages.join(path), b"made by Python")?;
        }
    }
    Ok(())
}
