//! Killed after every record and at every boundary of an effect, forward and on the way back: there is no point at which
//! anything is lost.

use super::{Original, Rehearsal};
use crate::support::Ran;
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Instant,
};

/// Points of one sweep, and those at which something was wrong.
#[derive(Default)]
pub struct Swept {
    pub points: usize,
    pub wrong: Vec<String>,
}

/// For every record N from the first on, by steps, and every boundary M after it: has `begin` run a command with
/// `--inject kill@N.M` on an equal site, and `end` judge what became of it. It is over when a run ends without being killed
/// after record N.
pub fn sweep(
    (first, step): (usize, usize),
    make: impl Fn() -> Rehearsal,
    mut begin: impl FnMut(&Rehearsal, &str) -> Ran,
    mut end: impl FnMut(&Rehearsal, usize),
) -> Swept {
    let mut swept = Swept::default();
    for record in (first..).step_by(step) {
        for boundary in 0.. {
            let point = format!("kill@{record}.{boundary}");
            let site = make();
            let killed = begin(&site, &point);
            if let Some(status) = killed.status {
                if ![0, 4].contains(&status) {
                    swept.wrong.push(format!("{point}: it ended with {status}:\n{}", killed.stderr));
                }
                if boundary == 0 {
                    return swept;
                }
                break;
            }
            if catch_unwind(AssertUnwindSafe(|| end(&site, swept.points))).is_err() {
                swept.wrong.push(point);
            }
            swept.points += 1;
        }
    }
    swept
}

#[track_caller]
fn demand(what: &str, began: Instant, swept: &[Swept]) {
    let points: usize = swept.iter().map(|s| s.points).sum();
    eprintln!("{what}: {points} points in {:.1} s", began.elapsed().as_secs_f32());
    let wrong: Vec<&String> = swept.iter().flat_map(|s| &s.wrong).collect();
    assert!(wrong.is_empty(), "{what}: wrong at {} of {points} points: {wrong:#?}", wrong.len());
}

/// Kills `apply` of the original's story after every `step`-th record and at every boundary there; then goes on, and on an
/// equal site takes it back. Demands more than `least` points.
pub fn killed_anywhere(original: &Arc<Original>, step: usize, least: usize) {
    let began = Instant::now();
    let apply = |site: &Rehearsal, point: &str| site.unship(["apply", original.story, "--yes", "--inject", point]);
    let (on, back) = std::thread::scope(|scope| {
        let on = scope.spawn(|| {
            sweep(
                (1, step),
                || original.copy(),
                apply,
                |site, _| {
                    let _ = site.unship(["resume"]).exits(0);
                    site.is_applied();
                },
            )
        });
        let back = sweep(
            (1, step),
            || original.copy(),
            apply,
            |site, _| {
                if site.runs()["outcome"].is_null() {
                    let _ = site.unship(["resume", "--undo"]).exits(0);
                } else {
                    // Killed after its last record: it ended, so nothing is in flight, and there is another word for it.
                    let _ = site.unship(["resume", "--undo"]).exits(0).prints("no run is in flight");
                    let _ = site.unship(["undo", &site.run()]).exits(0);
                }
                site.is_as_before();
            },
        );
        (on.join().expect("its sweep"), back)
    });
    assert_eq!(on.points, back.points, "both met the same points");
    assert!(on.points > least, "{}", on.points);
    demand(&format!("apply {} killed, on and back", original.story), began, &[on, back]);
}

#[test]
fn a_run_killed_anywhere_goes_on_or_back() {
    killed_anywhere(&Original::of_1_3(), 1, 50);
}

/// The number of the first record, of those that the command takes, of this kind.
fn number(ran: &Ran, event: &str) -> usize {
    let records = ran.json().into_iter().filter(|line| line["type"] == "record");
    let at = records.into_iter().position(|line| line["record"]["what"]["event"] == event);
    at.unwrap_or_else(|| panic!("no {event}:\n{}", ran.stdout)) + 1
}

/// Ends the way back by `resume` or `resume --undo` in turns: they mean the same now.
fn ends_the_way_back(site: &Rehearsal, count: usize, by_itself: i32) {
    let ended = !site.runs()["outcome"].is_null();
    if count.is_multiple_of(2) {
        let _ = site.unship(["resume", "--undo"]).exits(0);
    } else {
        let _ = site.unship(["resume"]).exits(if ended { 0 } else { by_itself });
    }
    site.is_as_before();
}

#[test]
fn a_failed_run_killed_anywhere_on_its_way_back_ends_it() {
    let (original, began) = (Original::of_1_3(), Instant::now());
    let fails = ["apply", "1.3", "--yes", "--json", "--inject", "fail@restart-analytics"];
    let site = original.copy();
    let first = number(&site.unship(fails).exits(4), "unit-failed");
    site.is_as_before();
    let swept = sweep(
        (first, 1),
        || original.copy(),
        |site, point| site.unship(fails.into_iter().chain(["--inject", point])),
        |site, count| ends_the_way_back(site, count, 4),
    );
    assert!(swept.points > 15, "{}", swept.points);
    demand("a failed apply killed on its way back", began, &[swept]);
}

#[test]
fn taking_a_cut_off_run_back_can_be_cut_off_anywhere_itself() {
    let (original, began) = (Original::of_1_3(), Instant::now());
    // In the middle of the last step.
    let last = {
        let ran = original.copy().unship(["apply", "1.3", "--yes", "--json"]).exits(0);
        let started = |line: &serde_json::Value| line["record"]["what"]["unit"] == "restart-analytics";
        ran.json().iter().filter(|line| line["type"] == "record").position(started).expect("a step") + 1
    };
    let cut = format!("kill@{last}.1");
    let swept = sweep(
        (1, 1),
        || original.copy(),
        |site, point| {
            let apply = site.unship(["apply", "1.3", "--yes", "--inject", &cut]);
            assert_eq!(apply.status, None, "{}", apply.stderr);
            site.unship(["resume", "--undo", "--inject", point])
        },
        |site, count| ends_the_way_back(site, count, 4),
    );
    assert!(swept.points > 15, "{}", swept.points);
    demand("resume --undo killed", began, &[swept]);
}

#[test]
fn undo_of_a_good_run_killed_anywhere_ends_it() {
    let (original, began) = (Original::of_1_3(), Instant::now());
    let swept = sweep(
        (1, 1),
        || original.copy(),
        |site, point| {
            let _ = site.apply();
            site.unship(["undo", &site.run(), "--inject", point])
        },
        |site, count| ends_the_way_back(site, count, 4),
    );
    assert!(swept.points > 15, "{}", swept.points);
    demand("undo killed", began, &[swept]);
}
