//! What goes is kept: whatever a step removes, replaces, cuts or overwrites lies in the store afterwards.

use super::{
    BOX, Does,
    Does::{Std, Verbs},
    Who, applied, apply_as_planned, snapshot, story, tree,
};
use crate::support::Site;
use serde_json::Value;
use std::fs;

/// Runs one step and answers the images of its effects: `(effect's kind, what lies in the store)`.
fn kept(site: &Site, what: Does, grants: &str) -> Vec<(String, String)> {
    story(site, what, grants);
    let ran = apply_as_planned(site, Who::Me);
    applied(&ran).into_iter().map(|(effect, image)| (word(&effect["effect"]), content(site, &image))).collect()
}

fn word(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn content(site: &Site, image: &Value) -> String {
    let Some(at) = image["at"].as_str() else { return word(&image["image"]) };
    let path = site.at(at);
    let metadata = fs::symlink_metadata(&path).expect("the image is there");
    if metadata.is_dir() {
        return snapshot(&path).into_iter().map(|(name, text)| format!("{name}={text}")).collect::<Vec<_>>().join(" ");
    }
    if metadata.is_symlink() {
        return format!("-> {}", fs::read_link(path).expect("target").display());
    }
    String::from_utf8_lossy(&fs::read(path).expect("content")).into_owned()
}

#[test]
fn what_goes_is_kept_whole() {
    for (what, grants, wanted) in [
        (Std("unlink box/a.txt"), BOX, ("removed", "aaaa")),
        (Std("unlink box/planted"), BOX, ("removed", "-> ../secret.txt")),
        (Std("rmdir box/empty"), BOX, ("dir-removed", "")),
        (Std("truncate box/a.txt"), BOX, ("file-written", "aaaa")),
        (Std("write box/a.txt new"), BOX, ("file-written", "aaaa")),
        (Std("rename box/a.txt box/b.txt"), BOX, ("renamed", "bbbb")),
        (Std("rename box/frozen box/empty"), BOX, ("renamed", "")),
        (Std("rename box/a.txt box/to-a"), BOX, ("renamed", "-> a.txt")),
        (
            Verbs("replace box/a.txt box/b.txt"),
            "files.read = [\"box/b.txt\"]\nfiles.replace = [\"box/a.txt\"]",
            ("file-replaced", "aaaa"),
        ),
        (
            Verbs("edit box/config.yaml /key old new"),
            "files.edit = { \"box/config.yaml\" = [\"/**\"] }",
            ("file-edited", "# a comment\nkey: old # kept\nother: kept\n"),
        ),
        (
            Verbs("clear box/d"),
            "files.clear = [\"box/d\"]",
            ("dir-cleared", ".hidden=hidden sub=dir sub/deep.txt=deep up=-> ../../a.txt x.txt=x"),
        ),
    ] {
        let kept = kept(&tree(), what, grants);
        assert_eq!(kept, [(wanted.0.to_owned(), wanted.1.to_owned())], "{what:?}");
    }
}

/// Only what a write in place covers is copied, and what the step made itself is not.
#[test]
fn a_write_in_place_keeps_the_ranges() {
    let site = tree();
    let text: String = ('a'..='z').cycle().take(2_000_000).collect();
    site.write("box/a.txt", &format!("{text}the end that goes"));
    let images =
        kept(&site, Std("writeto box/a.txt 1000000 XXXX -- setlen box/a.txt 2000000 -- overwrite box/a.txt 0123"), BOX);
    let [(kind, image)] = images.as_slice() else { panic!("{images:?}") };
    assert_eq!(kind, "file-written");
    for saved in [&text[1_000_000..1_000_004], "the end that goes", "abcd"] {
        assert!(image.contains(saved), "the image lacks {saved:?}");
    }
    assert!(image.len() < 500_000, "{} bytes were kept of a file written in three places", image.len());
    let created = kept(&tree(), Std("write box/new.txt x -- overwrite box/new.txt y -- append box/new.txt z"), BOX);
    assert_eq!(created, [("file-created".to_owned(), String::new())]);
    let times = kept(&tree(), Std("chtimes box/a.txt 1000"), BOX);
    assert_eq!(times, [("metadata-changed".to_owned(), "value".to_owned())]);
}

/// Several changes of one thing: each that removes something keeps just that.
#[test]
fn each_generation_is_kept() {
    let site = tree();
    let images = kept(
        &site,
        Std("unlink box/a.txt -- write box/a.txt second -- rename box/b.txt box/a.txt -- unlink box/a.txt"),
        BOX,
    );
    let wanted = [("removed", "aaaa"), ("file-created", ""), ("renamed", "second"), ("removed", "bbbb")];
    assert_eq!(images, wanted.map(|(kind, text)| (kind.to_owned(), text.to_owned())));
}

/// A handle that outlives its name writes into nothing that is kept.
#[test]
fn a_kept_handle_does_not_reach_the_store() {
    let images = kept(&tree(), Std("writegone box/a.txt lost -- report box/r"), BOX);
    let [(removed, image), (report, _)] = images.as_slice() else { panic!("{images:?}") };
    assert_eq!((removed.as_str(), image.as_str(), report.as_str()), ("removed", "aaaa", "file-created"));
}
