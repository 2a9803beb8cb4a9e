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

/// What the component's interfaces need: it imports all of them, so that a manifest must request each.
const INTERFACES: &str =
    "flags.get = [\"f\"]\nprocesses.list = [\"p\"]\nservices.status = [\"s\"]\ncommands.run = [\"c\"]\n";

/// Each unit's requests; the first step requests the interfaces too.
fn requests<'a>(units: &'a [Unit]) -> impl Iterator<Item = (&'static str, &'static str, String)> + 'a {
    let first_step = units.iter().find(|(kind, ..)| *kind == "step").map(|(_, name, _)| *name);
    units.iter().map(move |(kind, name, requests)| {
        let more = if Some(*name) == first_step { INTERFACES } else { "" };
        (*kind, *name, format!("{requests}\n{more}"))
    })
}

/// The manifest of story `id`; `head` stands above its units.
pub fn manifest(id: &str, head: &str, units: &[Unit]) -> String {
    let units = requests(units)
        .map(|(kind, name, requests)| format!("[[{kind}]]\nname = \"{name}\"\ntitle = \"about {name}\"\n{requests}"));
    let top = format!("story = \"{id}\"\nversion = \"1.0.0\"\ntitle = \"t\"\n{head}\n");
    std::iter::once(top).chain(units).collect()
}

/// Packs and signs story `id` out of `units`. `head` stands above the units in the manifest, `policy` right behind the
/// first keys of `[story]`.
pub fn story(site: &Site, id: &str, head: &str, units: &[Unit], policy: &str) {
    let grants = requests(units).map(|(_, name, requests)| format!("[grants.{name}]\n{requests}"));
    let grants: String = std::iter::once(format!("{policy}\n")).chain(grants).collect();
    site.story(id, &guest("hostile.wasm"), &manifest(id, head, units), &grants);
}
