//! `unship pack COMPONENT --manifest FILE -o BUNDLE`: component and manifest into one unsigned bundle.

use crate::{
    context::Context,
    error::{CliError, Result},
    exit::Exit,
    files::write_whole,
    site::{read_module, read_text},
    story,
};
use std::path::PathBuf;
use unship_host::sandbox::to_component;
use unship_policy::{Bundle, Manifest, pack};

/// Puts a built component and its manifest into one file, still unsigned. A plain `wasi:cli/command` component or a wasip1
/// core module packs too: its manifest has one step. What the component imports and which steps it knows is checked
/// against the manifest.
#[derive(clap::Args)]
pub struct Args {
    /// The built component, or a wasip1 core module
    component: PathBuf,
    /// The manifest
    #[arg(long, short, value_name = "FILE")]
    manifest: PathBuf,
    /// Where the bundle goes; an existing file is replaced
    #[arg(long, short, value_name = "BUNDLE")]
    output: PathBuf,
}

/// Runs the verb.
pub fn run(context: &Context, args: &Args) -> Result<Exit> {
    let text = read_text(&args.manifest)?;
    let manifest = Manifest::parse(&text).map_err(|e| CliError::in_file(&args.manifest, &text, e))?;
    let module = read_module(&args.component)?;
    let component = to_component(&module)
        .map_err(|e| CliError::user(format!("{} cannot become a bundle", args.component.display())).because(&e))?;
    story::check_for_packing(&component.bytes, &manifest)
        .map_err(|e| e.hint(format!("make {} and the component agree", args.manifest.display())))?;
    let packed = pack(&component.bytes, &text).map_err(|e| CliError::user("the bundle cannot be made").because(&e))?;
    let bundle =
        Bundle::parse(packed.clone().into()).map_err(|e| CliError::user("the bundle cannot be made").because(&e))?;
    write_whole(&args.output, &packed)?;
    context.out.text(format!(
        "{}: story {} {}, {} bytes, {}, unsigned",
        args.output.display(),
        manifest.story,
        manifest.version_text(),
        packed.len(),
        bundle.digest()
    ));
    context.out.summary(serde_json::json!({
        "story": manifest.story.as_str(), "version": manifest.version_text(), "digest": bundle.digest(), "bytes": packed.len(),
    }));
    Ok(Exit::Done)
}
