//! The next version of a trust root: written, signed, put in place once enough keys have signed it.

use crate::{
    context::Context,
    error::{CliError, Result},
    exit::Exit,
    files::write_whole,
    keys::SignerArgs,
    site::Site,
    trust,
    wiring::SystemClock,
};
use std::{
    fs,
    path::{Path, PathBuf},
};
use unship_policy::{Memory, Moment, Root, RootError, RootFile, Signer, TrustRoot, sign_root};
use unship_rollback::Clock as _;
use unship_store::SiteStore;

/// Where a version waits that too few have signed, in the folder of versions.
const PENDING: &str = "pending";

/// Adds a signature to the version that waits for some; with the last that it needs it is put in place.
#[derive(clap::Args)]
pub struct SignArgs {
    #[command(flatten)]
    signer: SignerArgs,
}

/// The versions of a site's trust root, and the newest of them where there is one.
pub struct Chain {
    site: PathBuf,
    folder: PathBuf,
    files: Vec<RootFile>,
}

impl Chain {
    /// Reads the versions of the site that is meant.
    pub fn read(context: &Context) -> Result<Chain> {
        let site = Site::locate(context.site.as_deref())?;
        let folder = site.join(trust::FOLDER);
        let files = trust::files(&folder)?;
        Ok(Chain { site, folder, files })
    }

    /// Where the versions lie.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// All that there are, in order.
    pub fn files(&self) -> &[RootFile] {
        &self.files
    }

    /// The site's store, where it has one: a copy of the policies alone has none.
    pub fn store(&self) -> Result<Option<SiteStore>> {
        if !self.site.join(".unship").exists() {
            return Ok(None);
        }
        let store = SiteStore::open(&self.site);
        store.map(Some).map_err(|e| CliError::user("the site's store `.unship/` cannot be used").because(&e))
    }

    /// The newest version, followed from the one that the site accepted, or, where nobody ever said which that is, from the
    /// first that is there.
    pub fn newest(&self) -> Result<TrustRoot> {
        self.follow(&self.files)?.map_err(|e| trust::refusal(&self.site, &e))
    }

    /// The newest version, followed from the first that is there, whatever the site accepted.
    pub fn followed_from_the_first(&self) -> Result<TrustRoot> {
        TrustRoot::begin(&self.files, SystemClock.now_ms()).map_err(|e| trust::refusal(&self.site, &e))
    }

    /// What the site accepted is known or nothing is followed: a pin that cannot be read is no pin that was never made.
    fn follow(&self, files: &[RootFile]) -> Result<std::result::Result<TrustRoot, RootError>> {
        let now_ms = SystemClock.now_ms();
        let accepted = self.store()?.as_ref().map(trust::accepted).transpose()?.flatten();
        Ok(match accepted {
            Some(accepted) => TrustRoot::follow(files, accepted, Memory::default(), now_ms),
            None => TrustRoot::begin(files, now_ms),
        })
    }

    /// The next version after `root`, issued now.
    pub fn next_of(root: &Root) -> Result<Root> {
        let version = root.version.checked_add(1).ok_or_else(|| CliError::user("there are no more versions"))?;
        Ok(Root { version, issued: Moment::from_ms(SystemClock.now_ms()), ..root.clone() })
    }

    /// Signs `root` as the next version, and puts it in place, or where it waits for further signatures.
    pub fn publish(&self, context: &Context, root: &Root, signer: &dyn Signer) -> Result<Exit> {
        let text = root.to_text();
        Root::parse(&text).map_err(|e| CliError::in_file(Path::new("the next version"), &text, e))?;
        let waiting = self.waiting()?;
        if let Some(waiting) = waiting {
            return Err(CliError::refused(format!("version {} waits for signatures already", waiting.version)).hint(
                format!("`unship trust sign` adds one; remove {} to give it up", self.folder.join(PENDING).display()),
            ));
        }
        self.sign(context, RootFile { version: root.version, text, signatures: Vec::new() }, signer)
    }

    fn sign(&self, context: &Context, mut file: RootFile, signer: &dyn Signer) -> Result<Exit> {
        file.signatures = sign_root(&file, signer)
            .map_err(|e| CliError::user(format!("version {} cannot be signed", file.version)).because(&e))?;
        let all: Vec<RootFile> = self.files.iter().cloned().chain([file.clone()]).collect();
        let pending = self.folder.join(PENDING);
        match self.follow(&all)? {
            Ok(trust) => {
                write(&self.folder, &file)?;
                if pending.exists() {
                    fs::remove_dir_all(&pending)
                        .map_err(|e| CliError::user(format!("{} cannot be removed", pending.display())).because(&e))?;
                }
                let digest = trust.accepted().digest;
                context.out.text(format!(
                    "version {} of the trust root: {}, {digest}",
                    file.version,
                    self.folder.join(format!("{}.toml", file.version)).display()
                ));
                context.out.summary(serde_json::json!({ "version": file.version, "digest": digest, "waits": null }));
                Ok(Exit::Done)
            }
            Err(e @ RootError::TooFew { .. }) => {
                write(&pending, &file)?;
                context.out.text(format!("version {} waits in {}", file.version, pending.display()));
                context.out.text(format!("{e}"));
                context.out.text("`unship trust sign` adds a signature");
                context
                    .out
                    .summary(serde_json::json!({ "version": file.version, "digest": null, "waits": e.to_string() }));
                Ok(Exit::Done)
            }
            Err(e) => Err(trust::refusal(&self.site, &e)),
        }
    }

    fn waiting(&self) -> Result<Option<RootFile>> {
        Ok(trust::files(&self.folder.join(PENDING))?.pop())
    }
}

/// The signatures first: a version counts as there by its text.
fn write(folder: &Path, file: &RootFile) -> Result<()> {
    fs::create_dir_all(folder)
        .map_err(|e| CliError::user(format!("{} cannot be made", folder.display())).because(&e))?;
    write_whole(&folder.join(format!("{}.sig", file.version)), &file.signatures)?;
    write_whole(&folder.join(format!("{}.toml", file.version)), file.text.as_bytes())
}

/// Runs `trust sign`.
pub fn sign(context: &Context, args: &SignArgs) -> Result<Exit> {
    let chain = Chain::read(context)?;
    let waiting = chain.waiting()?.ok_or_else(|| {
        CliError::user("no version waits for signatures")
            .cause(format!("{} holds none", chain.folder.join(PENDING).display()))
    })?;
    chain.sign(context, waiting, &*args.signer.signer()?)
}
