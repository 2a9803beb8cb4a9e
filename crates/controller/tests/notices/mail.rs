//! Mail through a real server: Exim, over TLS.

use crate::{
    exim::{AUTHORITY, Exim, NOBODY, PASSWORD, USER},
    support::{Post, RUN, secret},
};
use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::TcpListener,
    thread,
};
use unship_policy::NoticeEvent;
use unship_rollback::incident::NoticeStanding;

/// A channel of mail with these keys in place of the usual ones.
fn mail(exim: &Exim, changes: &[(&str, &str)]) -> String {
    let port = exim.port.to_string();
    let mut tables = format!(
        "[channels.mail]\nkind = \"smtp\"\nhost = \"localhost\"\nport = {port}\nuser = \"{USER}\"\npassword = \"file:password\"\n\
from = \"unship@example.org\"\nauthorities = \"ca.pem\"\ntimeout = \"20s\"\n\
[recipients]\ndev-team = [\"dev@example.org\", \"ops@example.org\"]\nproduct-owner = [\"owner@example.org\"]\nsupport-team = [\"support@example.org\"]\n"
    );
    for (from, to) in changes {
        assert!(tables.contains(from), "{from}");
        tables = tables.replace(from, to);
    }
    tables
}

fn begin(tables: &str) -> Post {
    let post = Post::new(tables);
    secret(post.dir.path(), "password", PASSWORD);
    fs::write(post.dir.path().join("ca.pem"), AUTHORITY).expect("written");
    post.run_begins();
    post
}

fn header<'a>(mail: &'a str, name: &str) -> &'a str {
    let line = mail.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap_or_else(|| panic!("no {name} in {mail}")).trim()
}

#[test]
fn a_rollback_that_is_complete_is_mailed_to_the_roles_with_text_and_html() {
    let exim = Exim::start();
    let post = begin(&mail(&exim, &[]));
    let id = post.queue("mail", NoticeEvent::Complete, "Recovered: its verifications passed <b>");
    assert_eq!(post.settled(&id), NoticeStanding::Delivered { answer: "mailed to 4".to_owned() });
    for address in ["dev@example.org", "ops@example.org", "owner@example.org", "support@example.org"] {
        let mail = exim.mails(address, 1).remove(0);
        assert_eq!(header(&mail, "To:"), address);
        assert_eq!(header(&mail, "Auto-Submitted:"), "auto-generated");
        assert!(header(&mail, "Message-ID:").starts_with("<n1."), "{mail}");
        // Quoted-printable breaks lines at 76 characters.
        let whole = mail.replace("=\n", "").replace("=3D", "=");
        assert!(header(&whole, "Subject:").starts_with("Rollback 1.3: complete - Recovered"), "{whole}");
        assert!(whole.contains("multipart/alternative") && whole.contains("text/plain") && whole.contains("text/html"));
        assert!(whole.contains("COMPLETE: Recovered: its verifications passed <b>"), "text is text: {whole}");
        assert!(whole.contains("passed &lt;b&gt;") && whole.contains("&lt;script&gt;"), "HTML is escaped: {whole}");
        assert!(whole.contains(&format!("unship undo {RUN}")), "{whole}");
        assert!(whole.contains("1.3/slow-queries (high)"), "{whole}");
    }
    assert!(exim.log().contains("TLS1.3"), "{}", exim.log());
}

#[test]
fn mails_of_one_run_are_one_thread_and_tls_may_come_first() {
    let exim = Exim::start();
    let port = format!("port = {}", exim.port);
    let of_tls = format!("port = {}\ntls = \"implicit\"", exim.port_of_tls);
    let post = begin(&mail(&exim, &[(&port, &of_tls)]));
    for event in [NoticeEvent::Stuck, NoticeEvent::Complete] {
        let id = post.queue("mail", event, "it is so");
        assert!(matches!(post.settled(&id), NoticeStanding::Delivered { .. }));
    }
    let mails = exim.mails("dev@example.org", 2);
    let threads: Vec<&str> = mails.iter().map(|mail| header(mail, "References:")).collect();
    assert_eq!(threads[0], threads[1]);
    assert_ne!(header(&mails[0], "Message-ID:"), header(&mails[1], "Message-ID:"));
}

#[test]
fn one_address_that_is_refused_for_good_keeps_nobody_else_from_theirs() {
    let exim = Exim::start();
    let post = begin(&mail(&exim, &[("ops@example.org", NOBODY)]));
    let id = post.queue("mail", NoticeEvent::Complete, "done");
    let NoticeStanding::Failed { reason } = post.settled(&id) else { panic!("one did not get it") };
    assert!(reason.contains("there is nobody of that name"), "{reason}");
    for address in ["dev@example.org", "owner@example.org", "support@example.org"] {
        assert_eq!(exim.mails(address, 1).len(), 1);
    }
}

#[test]
fn a_password_that_is_wrong_waits_until_it_is_mended_and_is_told_to_nobody() {
    let exim = Exim::start();
    let post = begin(&mail(&exim, &[("authorities", "give-up = \"1m\"\nauthorities")]));
    secret(post.dir.path(), "password", "wr0ng-one");
    let id = post.queue("mail", NoticeEvent::Complete, "done");
    let NoticeStanding::Failed { reason } = post.in_time(&id) else { panic!("nobody let us in") };
    assert!(reason.contains("535") && !reason.contains("wr0ng"), "{reason}");
    secret(post.dir.path(), "password", PASSWORD);
    let id = post.queue("mail", NoticeEvent::Complete, "done");
    assert!(matches!(post.in_time(&id), NoticeStanding::Delivered { .. }));
}

#[test]
fn a_server_that_nobody_vouches_for_gets_nothing() {
    let exim = Exim::start();
    let changes = [("authorities = \"ca.pem\"", "give-up = \"1m\"")];
    let post = begin(&mail(&exim, &changes));
    let id = post.queue("mail", NoticeEvent::Complete, "done");
    let NoticeStanding::Failed { reason } = post.in_time(&id) else { panic!("it is no authority of the world's") };
    assert!(reason.to_lowercase().contains("certificate"), "{reason}");
    assert!(!exim.log().contains("<="), "nothing was handed in: {}", exim.log());
}

/// A server that has no TLS to offer, and says yes to everything else: a stand-in for one in between.
#[test]
fn a_server_without_tls_gets_neither_mail_nor_password() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("its address").port();
    let (said, heard) = std::sync::mpsc::channel();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let mut out = &stream;
            let _ = out.write_all(b"220 in between\r\n");
            for line in BufReader::new(&stream).lines().map_while(Result::ok) {
                let _ = said.send(line.clone());
                let _ = out.write_all(if line.starts_with("EHLO") { b"250 in between\r\n" } else { b"250 yes\r\n" });
            }
        }
    });
    let exim_port = port.to_string();
    let tables = format!(
        "[channels.mail]\nkind = \"smtp\"\nhost = \"localhost\"\nport = {exim_port}\nuser = \"{USER}\"\npassword = \"file:password\"\n\
from = \"unship@example.org\"\ngive-up = \"1m\"\n[recipients]\ndev-team = [\"dev@example.org\"]\n\
[[notice]]\nevents = [\"complete\"]\nchannel = \"mail\"\nrecipients = [\"dev-team\"]\n"
    );
    let post = begin(&tables);
    let id = post.queue("mail", NoticeEvent::Complete, "done");
    let NoticeStanding::Failed { reason } = post.in_time(&id) else { panic!("it was sent in the clear") };
    assert!(reason.contains("STARTTLS"), "{reason}");
    let lines: Vec<String> = heard.try_iter().collect();
    assert!(lines.iter().all(|line| !line.starts_with("MAIL") && !line.starts_with("AUTH")), "{lines:?}");
}
