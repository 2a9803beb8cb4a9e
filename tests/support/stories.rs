//! Small stories of several steps and checks, out of the hostile component: `verbs` does the lines of the file `script`,
//! `more-verbs` those of `more-script`, and the check `there` holds when the file `there` is.

use super::{Site, guest};

/// One unit: its table in the manifest (`step`, `check`, …), its name, what it requests and is granted.
pub type Unit = (&'static str, &'static str, &'static str);

/// The usual three: is it taken back already, one step, another step.
pub const THERE: Unit = ("check", "there", "files.read = [\"there\"]");

/// A site at which the names that the component's interfaces need have a meaning.
pub fn site(definitions: &str) -> Site {
    let site = Site::new(&format!(
        "{definitions}[flags]\nfile = \"flags.yaml\"\npointer = \"/{{flag}}\"\nvalues = {{ on = \"true\", off = \"false\" }}\n\
         [processes.p]\nexe = \"bin/p\"\ngrace = \"1s\"\n[commands.c]\nargv = [\"true\"]\ntimeout = \"1s\"\n\
         [services.s]\nmanager = \"pid-file\"\npid-file = \"p\"\nprocess = {{ exe = \"bin/p\", grace = \"1s\" }}\n\
         start = [\"true\"]\nhealthy = [\"true\"]\ntimeout = \"1s\"\n"
    ));
    site.write("flags.yaml", "f: true\n");
    site
}

/// Packs and signs story `id` out of `units`. `manifest` stands above the units in the manifest, `policy` right behind the
/// first keys of `[story]`.
pub fn story(site: &Site, id: &str, manifest: &str, units: &[Unit], policy: &str) {
    // The component imports every interface, so that the manifest must request each.
    let interfaces =
        "flags.get = [\"f\"]\nprocesses.list = [\"p\"]\nservices.status = [\"s\"]\ncommands.run = [\"c\"]\n";
    let mut text = format!("story = \"{id}\"\nversion = \"1.0.0\"\ntitle = \"t\"\n{manifest}\n");
    let mut grants = format!("{policy}\n");
    let first_step = units.iter().find(|(kind, ..)| *kind == "step").map(|(_, name, _)| *name);
    for (kind, name, requests) in units {
        let more = if Some(*name) == first_step { interfaces } else { "" };
        text.push_str(&format!("[[{kind}]]\nname = \"{name}\"\ntitle = \"about {name}\"\n{requests}\n{more}"));
        grants.push_str(&format!("[grants.{name}]\n{requests}\n{more}"));
    }
    site.story(id, &guest("hostile.wasm"), &text, &grants);
}
