//! Who signs: a secret key's file, under a passphrase or not, or a program that has the key.

use crate::{
    error::{CliError, Result},
    site::read_text,
};
use base64ct::{Base64, Encoding as _};
use std::{
    io::{IsTerminal as _, Write as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};
use unship_policy::{PublicKey, SecretKey, Signer};

/// How a verb is told who signs.
#[derive(clap::Args)]
#[group(required = true, multiple = true)]
pub struct SignerArgs {
    /// The secret key's file, as `unship keygen` made it
    #[arg(long, short, value_name = "FILE")]
    key: Option<PathBuf>,
    /// A file whose first line is the key's passphrase; without it, the terminal is asked
    #[arg(long, value_name = "FILE", requires = "key")]
    passphrase_file: Option<PathBuf>,
    /// A program that signs (docs/trust.md): gets the bytes on standard input, answers with 64 bytes in base64. No shell
    /// looks at it; its arguments are separated by blanks
    #[arg(long, value_name = "PROGRAM", requires = "public", conflicts_with = "key")]
    signer: Option<String>,
    /// The public key of what `--signer` signs with
    #[arg(long, value_name = "KEY", requires = "signer")]
    public: Option<String>,
}

impl SignerArgs {
    /// Whoever it is that signs.
    pub fn signer(&self) -> Result<Box<dyn Signer>> {
        if let (Some(program), Some(public)) = (&self.signer, &self.public) {
            let public = public_key(public)?;
            let words: Vec<String> = program.split_whitespace().map(str::to_owned).collect();
            if words.is_empty() {
                return Err(CliError::user("--signer names no program"));
            }
            return Ok(Box::new(Program { words, public }));
        }
        let Some(key) = &self.key else { return Err(CliError::user("nobody signs: neither --key nor --signer")) };
        Ok(Box::new(secret_key(key, self.passphrase_file.as_deref())?))
    }
}

/// A public key from the command line.
pub fn public_key(text: &str) -> Result<PublicKey> {
    PublicKey::parse(text).map_err(|e| CliError::user("that is no public key").cause(e))
}

/// Reads a secret key; asks the terminal for its passphrase where it has one.
pub fn secret_key(path: &Path, passphrase_file: Option<&Path>) -> Result<SecretKey> {
    let text = read_text(path)?;
    let given = passphrase_file.map(passphrase_of).transpose()?;
    let passphrase = match given {
        None if SecretKey::is_encrypted(&text) => Some(ask(&format!("Passphrase of {}: ", path.display()))?),
        given => given,
    };
    SecretKey::open(&text, passphrase.as_deref())
        .map_err(|e| CliError::user(format!("{} cannot be used to sign", path.display())).because(&e))
}

/// The first line of a file.
pub fn passphrase_of(path: &Path) -> Result<String> {
    let text = read_text(path)?;
    let line = text.lines().next().unwrap_or_default();
    if line.is_empty() {
        return Err(CliError::user(format!("{} has no passphrase in its first line", path.display())));
    }
    Ok(line.to_owned())
}

/// Asks the terminal, without showing the answer.
pub fn ask(question: &str) -> Result<String> {
    if !std::io::stdin().is_terminal() {
        return Err(CliError::user("the key is under a passphrase, and nobody is there to give it")
            .hint("`--passphrase-file FILE` reads it from a file"));
    }
    rpassword::prompt_password(question).map_err(|e| CliError::user("the passphrase cannot be read").because(&e))
}

/// A program that has the key: an agent, a hardware token's tool.
struct Program {
    words: Vec<String>,
    public: PublicKey,
}

/// Bytes of a signer's answer that are looked at: a signature in base64, and a line's end.
const ANSWER_BYTES_MAX: usize = 128;

impl Signer for Program {
    fn public(&self) -> PublicKey {
        self.public
    }

    fn sign(&self, message: &[u8]) -> std::result::Result<[u8; 64], String> {
        let name = &self.words[0];
        let failed = |what: &str, e: &std::io::Error| format!("`{name}` {what}: {e}");
        let mut child = Command::new(name)
            .args(&self.words[1..])
            .env("UNSHIP_PUBLIC_KEY", self.public.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|e| failed("cannot be run", &e))?;
        if let Some(mut stdin) = child.stdin.take() {
            // One that ends without reading says why by its status.
            let _ = stdin.write_all(message);
        }
        let out = child.wait_with_output().map_err(|e| failed("cannot be waited for", &e))?;
        if !out.status.success() {
            return Err(format!("`{name}` ended with {}", out.status));
        }
        let answer = std::str::from_utf8(&out.stdout).ok().filter(|answer| answer.len() <= ANSWER_BYTES_MAX);
        let bytes = answer.and_then(|answer| Base64::decode_vec(answer.trim_end()).ok());
        let signature = bytes.and_then(|bytes| bytes.try_into().ok());
        signature.ok_or_else(|| format!("`{name}` did not answer with 64 bytes in base64"))
    }
}
