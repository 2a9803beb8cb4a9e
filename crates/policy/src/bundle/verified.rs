//! Whether a bundle may run: who signed it, for what, and by which rules of the trust root that counts.

use super::{Bundle, BundleError};
use crate::{
    Digest, Lapse, Manifest, Moment, Name, Narrowed, Scheme, StoryId, Tier, TrustRoot, TrustedKey, dsse::verdict,
    manifest::version_text, trust::SKEW_MS,
};

/// What a bundle must be signed for.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// The story that it is to take back.
    pub story: &'a StoryId,
    /// The site's name, as its policy has it.
    pub site: &'a str,
    /// The roles of which enough keys must have signed, each by itself.
    pub roles: &'a [Name],
    /// What has expired is accepted, and nothing else: the bundle says so ([`VerifiedBundle::lapses`]), and whoever
    /// goes on has to have it approved.
    pub accept_expired: bool,
}

/// The very bytes whose signatures were checked. Only [`Bundle::verify`] makes one.
#[derive(Debug, Clone)]
pub struct VerifiedBundle {
    bundle: Bundle,
    signers: Vec<Name>,
    tier: Tier,
    lapses: Vec<Lapse>,
}

impl Bundle {
    /// Checks the signatures and all that they are for, by the trust root and at its time. Signatures by unknown keys count for
    /// nothing; one by a known key that is wrong spoils the whole.
    ///
    /// # Errors
    /// [`BundleError`], of which each says what would have to be otherwise.
    pub fn verify(self, trust: &TrustRoot, wanted: &Wanted<'_>) -> Result<VerifiedBundle, BundleError> {
        if self.envelope.is_none() && self.minisigs.is_empty() {
            return Err(BundleError::Unsigned);
        }
        let mut lapses: Vec<Lapse> = trust.lapse().into_iter().collect();
        let attestation = self.envelope.as_ref().map(|envelope| self.attestation(envelope)).transpose()?;
        let signed = self.signed(trust)?;
        if self.manifest.story != *wanted.story {
            let (found, wanted) = (self.manifest.story.to_string(), wanted.story.to_string());
            return Err(BundleError::OtherStory { found, wanted });
        }
        if let Some(reason) = trust.root().revoked_bundles.get(&self.digest()) {
            return Err(BundleError::Revoked(reason.clone()));
        }
        if let Some(attestation) = &attestation {
            lapses.extend(fits(attestation.narrowed(), trust, wanted.site)?);
        }
        let mut tier = Tier::Owned;
        for role_name in wanted.roles {
            let role = trust.root().role(role_name.as_str()).filter(|role| !role.stories.is_empty());
            let role = role.ok_or_else(|| BundleError::UnknownRole(role_name.to_string()))?;
            if !role.stories.iter().any(|pattern| pattern.covers(wanted.story)) {
                let stories: Vec<String> = role.stories.iter().map(ToString::to_string).collect();
                let (role, story) = (role_name.to_string(), wanted.story.to_string());
                return Err(BundleError::OtherStories { role, story, stories: stories.join(", ") });
            }
            let of_role = || signed.iter().filter(|signer| role.keys.contains(&signer.name));
            let given = of_role().filter(|signer| signer.counts()).count();
            let needed = role.threshold as usize;
            if given < needed {
                let late: Vec<&Signed> = of_role().filter(|signer| signer.expired_only()).collect();
                if given + late.len() < needed {
                    return Err(not_trusted(role_name, given, role.threshold, &signed));
                }
                lapses.extend(late.iter().filter_map(|signer| signer.lapse()));
            }
            tier = tier.min(role.tier);
        }
        if let Some(ran) = trust.memory().bundles.get(wanted.story).filter(|ran| **ran > self.manifest.version) {
            let ran = version_text(*ran);
            return Err(BundleError::Older { found: self.manifest.version_text(), ran });
        }
        if !lapses.is_empty() && !wanted.accept_expired {
            return Err(BundleError::Expired(lapses));
        }
        let signers = signed.into_iter().filter(|s| s.counts() || s.expired_only()).map(|s| s.name).collect();
        Ok(VerifiedBundle { bundle: self, signers, tier, lapses })
    }

    /// The known keys whose signatures fit, whatever they are worth: for a person who looks.
    pub fn holding_signers(&self, trust: &TrustRoot) -> Vec<Name> {
        let is_about_this = self.envelope.as_ref().is_none_or(|envelope| self.attestation(envelope).is_ok());
        let fitting = trust.root().keys.iter().filter(|(_, key)| is_about_this && self.fits_key(key) == Some(true));
        fitting.map(|(name, _)| name.clone()).collect()
    }

    /// Whether the key's signature fits; `None` where there is none that claims to be its own.
    fn fits_key(&self, key: &TrustedKey) -> Option<bool> {
        match key.public.scheme() {
            Scheme::Dsse => {
                let envelope = self.envelope.as_ref()?;
                verdict(&key.public, envelope.signatures(), &envelope.message())
            }
            Scheme::Minisign(id) => {
                let own = self.minisigs.iter().find(|minisig| minisig.key_id == id)?;
                Some(own.holds(&key.public, &self.bytes[..self.subject]))
            }
        }
    }

    /// Who signed, of those whom the trust root knows.
    fn signed(&self, trust: &TrustRoot) -> Result<Vec<Signed>, BundleError> {
        let mut found = Vec::new();
        for (name, key) in &trust.root().keys {
            if let (Scheme::Minisign(_), Some(envelope)) = (key.public.scheme(), &self.envelope)
                && envelope.signatures().iter().any(|signature| signature.key == key.public.id())
            {
                return Err(BundleError::OtherScheme(name.to_string()));
            }
            match self.fits_key(key) {
                None => {}
                Some(false) => return Err(BundleError::WrongSignature(name.to_string())),
                Some(true) => found.push(Signed::new(name, key, trust)),
            }
        }
        Ok(found)
    }
}

/// Whether what was signed is for this site and time; that it has expired is given.
fn fits(narrowed: &Narrowed, trust: &TrustRoot, site: &str) -> Result<Option<Lapse>, BundleError> {
    let Narrowed { sites, not_before, expires } = narrowed;
    if !sites.is_empty() && !sites.iter().any(|known| known == site) {
        return Err(BundleError::OtherSite { found: format!("{sites:?}"), wanted: site.to_owned() });
    }
    if let Some(begin) = not_before.filter(|begin| begin.ms() > trust.now_ms().saturating_add(SKEW_MS)) {
        return Err(BundleError::NotYet(begin));
    }
    Ok(expires.filter(|end| end.ms() <= trust.now_ms()).map(|at| Lapse::Signature { at }))
}

/// A known key whose signature fits.
struct Signed {
    name: Name,
    revoked: Option<String>,
    begun: bool,
    ended: Option<Moment>,
}

impl Signed {
    fn new(name: &Name, key: &TrustedKey, trust: &TrustRoot) -> Signed {
        Signed {
            name: name.clone(),
            revoked: trust.revocation(&key.public).map(str::to_owned),
            begun: trust.begun(key),
            ended: trust.ended(key),
        }
    }

    fn counts(&self) -> bool {
        self.revoked.is_none() && self.begun && self.ended.is_none()
    }

    /// It would count but for its age.
    fn expired_only(&self) -> bool {
        self.revoked.is_none() && self.begun && self.ended.is_some()
    }

    fn lapse(&self) -> Option<Lapse> {
        self.ended.map(|at| Lapse::Key { key: self.name.clone(), at })
    }

    fn why_not(&self) -> Option<String> {
        let Signed { name, revoked, begun, ended } = self;
        match (revoked, ended) {
            (Some(reason), _) => Some(format!("the key `{name}` is revoked: {reason}")),
            (None, Some(at)) => Some(format!("the key `{name}` expired at {at}")),
            (None, None) => (!begun).then(|| format!("the key `{name}` does not count yet")),
        }
    }
}

fn not_trusted(role: &Name, given: usize, needed: u32, signed: &[Signed]) -> BundleError {
    let names: Vec<&str> = signed.iter().map(|signer| signer.name.as_str()).collect();
    let why: Vec<String> = signed.iter().filter_map(Signed::why_not).collect();
    BundleError::NotTrusted {
        role: role.to_string(),
        given,
        needed,
        signers: if names.is_empty() { "unknown keys only".to_owned() } else { names.join(", ") },
        because: if why.is_empty() { String::new() } else { format!("; {}", why.join(", ")) },
    }
}

impl VerifiedBundle {
    /// The bytes to compile: exactly those that were checked, without the manifest.
    pub fn component(&self) -> &[u8] {
        self.bundle.component()
    }

    /// The author's data.
    pub fn manifest(&self) -> &Manifest {
        &self.bundle.manifest
    }

    /// The digest of what is signed.
    pub fn digest(&self) -> Digest {
        self.bundle.digest()
    }

    /// The manifest's text, byte for byte.
    pub fn manifest_text(&self) -> &str {
        self.bundle.manifest_text()
    }

    /// The names, in the trust root, of the keys whose signatures hold.
    pub fn signers(&self) -> &[Name] {
        &self.signers
    }

    /// How far its signers are trusted: the least of the roles that were demanded.
    pub fn tier(&self) -> Tier {
        self.tier
    }

    /// What has expired, and was accepted all the same because it was asked for.
    pub fn lapses(&self) -> &[Lapse] {
        &self.lapses
    }
}
