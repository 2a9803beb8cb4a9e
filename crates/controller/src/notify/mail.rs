//! Notices by mail: SMTP with TLS, text and HTML, one message for each address.

use super::{post::Refused, secret::Secret};
use lettre::{
    Message, SmtpTransport, Transport as _,
    message::{
        Mailbox, MultiPart,
        header::{HeaderName, HeaderValue},
    },
    transport::smtp::{
        authentication::Credentials,
        client::{Certificate, Tls, TlsParameters},
    },
};
use std::time::{Duration, SystemTime};
use unship_policy::{Digest, SmtpTls};
use unship_rollback::neutralise;

/// Where mail is handed in.
pub(super) struct Relay<'a> {
    pub host: &'a str,
    pub port: u16,
    pub tls: SmtpTls,
    pub login: Option<(&'a str, &'a Secret)>,
    pub from: &'a str,
    pub timeout: Duration,
    /// PEM.
    pub authorities: Option<&'a [u8]>,
}

/// What a mail says.
pub(super) struct Mail<'a> {
    pub to: &'a str,
    pub subject: &'a str,
    pub text: String,
    pub html: String,
    /// When it was queued, in milliseconds since the epoch: each attempt bears the same date.
    pub at_ms: u64,
    pub site: &'a str,
    pub notice: &'a str,
    /// What makes the mails of one thing one thread.
    pub dedup: &'a str,
}

/// A message id's right side: a name that belongs to this site alone.
fn domain(site: &str) -> String {
    let name: String = site.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    format!("{name}.unship.invalid")
}

impl Mail<'_> {
    /// The same for each attempt, so that mail programs make one of them.
    fn id(&self) -> String {
        let of = Digest::of_parts(&[self.dedup.as_bytes(), self.notice.as_bytes(), self.to.as_bytes()]);
        format!("<{}.{}@{}>", self.notice, &of.hex()[..16], domain(self.site))
    }

    fn thread(&self) -> String {
        format!("<{}@{}>", Digest::of_parts(&[self.dedup.as_bytes()]).hex(), domain(self.site))
    }

    fn message(&self, from: &str) -> Result<Message, Refused> {
        let bad =
            |e: &dyn std::fmt::Display| Refused::Never(format!("no mail can be made: {}", neutralise(&e.to_string())));
        let from: Mailbox = from.parse().map_err(|e| bad(&e))?;
        let to: Mailbox = self.to.parse().map_err(|e| bad(&e))?;
        // What mail programs show as a loop, or answer by themselves, is none of people's.
        let automatic = HeaderName::new_from_ascii_str("Auto-Submitted");
        Message::builder()
            .from(from)
            .to(to)
            .subject(self.subject)
            .date(SystemTime::UNIX_EPOCH + Duration::from_millis(self.at_ms))
            .message_id(Some(self.id()))
            .references(self.thread())
            .in_reply_to(self.thread())
            .raw_header(HeaderValue::new(automatic, "auto-generated".to_owned()))
            .multipart(MultiPart::alternative_plain_html(self.text.clone(), self.html.clone()))
            .map_err(|e| bad(&e))
    }
}

impl Relay<'_> {
    fn transport(&self) -> Result<SmtpTransport, Refused> {
        let bad = |e: &dyn std::fmt::Display| Refused::later(format!("TLS: {}", neutralise(&e.to_string())));
        let mut parameters = TlsParameters::builder(self.host.to_owned());
        if let Some(pem) = self.authorities {
            parameters = parameters
                .certificate_store(lettre::transport::smtp::client::CertificateStore::None)
                .add_root_certificate(Certificate::from_pem(pem).map_err(|e| bad(&e))?);
        }
        let tls = match self.tls {
            SmtpTls::None => Tls::None,
            SmtpTls::StartTls => Tls::Required(parameters.build_rustls().map_err(|e| bad(&e))?),
            SmtpTls::Implicit => Tls::Wrapper(parameters.build_rustls().map_err(|e| bad(&e))?),
        };
        let mut transport =
            SmtpTransport::builder_dangerous(self.host).port(self.port).timeout(Some(self.timeout)).tls(tls);
        if let Some((user, password)) = self.login {
            transport = transport.credentials(Credentials::new(user.to_owned(), password.text().to_owned()));
        }
        Ok(transport.build())
    }

    /// Hands in one mail.
    ///
    /// # Errors
    /// [`Refused`]: what the server refuses for good (5yz) is given up, unless it does not know us (53z), which can be mended.
    pub fn send(&self, mail: &Mail<'_>) -> Result<(), Refused> {
        let message = mail.message(self.from)?;
        match self.transport()?.send(&message) {
            Ok(_) => Ok(()),
            Err(e) => {
                let why = format!("{}:{}: {}", self.host, self.port, neutralise(&e.to_string()));
                let why = self.login.map_or_else(|| why.clone(), |(_, password)| password.out_of(&why));
                let is_about_us = e.status().is_some_and(|code| code.to_string().starts_with("53"));
                Err(if e.is_permanent() && !is_about_us { Refused::Never(why) } else { Refused::later(why) })
            }
        }
    }
}
