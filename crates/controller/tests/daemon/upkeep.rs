//! What is looked after beside incidents: readiness, exposures, reloads, post-mortems, other people's runs, the clock.

use crate::world::{BEGIN, HOUR, MINUTE, SECOND, STORIES, World, summary, trigger};
use unship_controller::ports::Exposed;
use unship_rollback::{
    Outcome, RunId, Verdict,
    incident::{Closing, Fact, Stage, Wish},
};

fn run() -> RunId {
    RunId::new("r20270115t070000z-00000001").expect("an id")
}

#[test]
fn a_story_that_could_not_be_taken_back_is_told_before_the_night_on_which_it_is_needed() {
    let world = World::new("", &[]);
    let all = world.operator.script().planned.clone();
    assert_eq!(all, STORIES, "each is planned at the start");
    assert!(world.told().is_empty(), "all are ready: nobody is told");
    world.operator.script().plans.insert("1.4".to_owned(), Err("the stub is gone".to_owned()));
    world.later(24 * HOUR);
    assert_eq!(world.told_last(), "not-ready: story 1.4 could not be taken back now: the stub is gone");
    world.later(24 * HOUR);
    assert_eq!(world.told().len(), 1, "the same is not told again");
    // Another daemon knows what was told.
    let world = world.again(HOUR);
    assert_eq!(world.told().len(), 1);
    world.operator.script().plans.insert("1.4".to_owned(), Err("the database is locked".to_owned()));
    world.later(24 * HOUR);
    assert_eq!(world.told().len(), 2, "another reason is news");
    world.operator.script().plans.remove("1.4");
    world.later(24 * HOUR);
    assert_eq!(world.told_last(), "ready: story 1.4 could be taken back again");
}

fn expose(world: &World, until_ms: u64) {
    world.operator.script().exposed = vec![Exposed { run: run(), story: "1.4".to_owned(), until_ms }];
}

/// What is exposed is looked for by the machine's own clock, every other second.
fn until_known(world: &World) {
    for _ in 0..600 {
        if world.book.read(|book| !book.exposures().is_empty()) {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
        world.calm();
    }
    panic!("nobody found the exposure");
}

#[test]
fn what_weakens_a_safety_property_is_taken_back_when_its_time_is_over() {
    let world = World::new("", &[]);
    expose(&world, BEGIN + HOUR);
    until_known(&world);
    world.at(BEGIN + HOUR - 1);
    assert!(world.operator.script().undone.is_empty());
    world.at(BEGIN + HOUR);
    assert_eq!(world.operator.script().undone, [run()]);
    assert!(world.told_last().starts_with("closed: what run"), "{}", world.told_last());
    assert!(world.book.read(|book| book.exposures().is_empty()));
}

#[test]
fn also_when_the_daemon_was_down_at_that_time() {
    let world = World::new("", &[]);
    expose(&world, BEGIN + HOUR);
    until_known(&world);
    let world = world.again(2 * HOUR);
    world.calm();
    assert_eq!(world.operator.script().undone, [run()]);
    // And one that no daemon ever saw while it was right.
    let world = World::new("", &[]);
    expose(&world, BEGIN + MINUTE);
    let world = world.again(2 * HOUR);
    for _ in 0..600 {
        if !world.operator.script().undone.is_empty() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
        world.calm();
    }
    assert_eq!(world.operator.script().undone, [run()]);
}

#[test]
fn where_it_cannot_be_taken_back_a_person_is_called_once_and_it_is_tried_again() {
    let world = World::new("", &[]);
    expose(&world, BEGIN + HOUR);
    until_known(&world);
    for _ in 0..3 {
        world.operator.script().undos.push_back(Err("the service does not answer".to_owned()));
    }
    world.at(BEGIN + HOUR);
    assert!(world.told_last().contains("could NOT be taken back in time"), "{}", world.told_last());
    for _ in 0..3 {
        world.later(MINUTE + SECOND);
    }
    assert_eq!(world.operator.script().undone.len(), 4);
    assert_eq!(world.told().iter().filter(|event| *event == "paged").count(), 1, "the same is told once");
    assert!(world.book.read(|book| book.exposures().is_empty()));
}

#[test]
fn new_policies_are_taken_over_as_a_whole_and_bad_ones_not_at_all() {
    let world = World::new("", &[("1.3", trigger("a", "high", false))]);
    let was = world.texts.lock().expect("mine").clone();
    world.texts.lock().expect("mine").triggers = vec![("1.3", "[[trigger]]\nname = 1\n".to_owned())];
    world.reload();
    assert!(world.facts().iter().any(|fact| matches!(fact, Fact::PolicyRefused { .. })));
    world.sample("a", 9.0, &[]);
    assert_eq!(world.incidents().len(), 1, "the old ones stay");
    // What is open stays open, and a rule that is new is judged from now on.
    world.texts.lock().expect("mine").triggers = vec![was.triggers[0].clone(), ("1.4", trigger("b", "critical", true))];
    world.reload();
    assert!(world.facts().iter().any(|fact| matches!(fact, Fact::PolicyReloaded { .. })));
    assert!(matches!(world.stage(), Stage::Asking { .. }));
    world.sample("b", 9.0, &[]);
    assert_eq!(world.ran(), ["1.4"]);
    // A rule that is gone fires no more; what it opened stays for people.
    world.texts.lock().expect("mine").triggers = Vec::new();
    world.reload();
    world.sample("a", 9.0, &[]);
    assert_eq!(world.incidents().len(), 2);
}

#[test]
fn a_reload_forgets_no_window() {
    let slow = "[[trigger]]\nname = \"slow\"\nwhen = \"a > 5 for 5m\"\nseverity = \"critical\"\nauto = true\nfeed = [\"a\"]\nstale-after = \"10m\"\n";
    let world = World::new("", &[("1.3", slow.to_owned())]);
    for minute in 0..8 {
        world.sample("a", 9.0, &[]);
        if minute == 3 {
            world.reload();
        }
        world.later(50 * SECOND);
    }
    assert_eq!(world.ran(), ["1.3"], "minutes before the reload count");
}

#[test]
fn a_post_mortem_is_due_written_or_told_as_overdue() {
    let world = || {
        let world = World::new("", &[("1.3", trigger("a", "critical", true))]);
        world.sample("a", 9.0, &[]);
        world
    };
    let late = world();
    late.later(47 * HOUR);
    assert!(!late.told().contains(&"post-mortem-due".to_owned()));
    late.later(HOUR);
    assert_eq!(late.told().iter().filter(|event| *event == "post-mortem-due").count(), 1, "{:?}", late.told());
    late.later(24 * HOUR);
    assert_eq!(late.told().iter().filter(|event| *event == "post-mortem-due").count(), 1, "once");
    let mut written = world();
    let run = written.incident().runs[0].clone();
    written.hand_in("ada", Wish::PostMortem { run: run.clone() });
    written.later(72 * HOUR);
    assert!(!written.told().contains(&"post-mortem-due".to_owned()));
    written.hand_in("ada", Wish::PostMortem { run });
    assert_eq!(written.refusals().len(), 1, "it was written already");
}

#[test]
fn while_somebody_elses_run_holds_the_site_nothing_is_begun() {
    let world = World::new("", &[("1.3", trigger("a", "critical", true))]);
    world.operator.script().is_busy = true;
    world.sample("a", 9.0, &[]);
    assert_eq!(world.stage(), Stage::Acting);
    world.later(HOUR);
    assert!(world.ran().is_empty());
    world.operator.script().is_busy = false;
    world.later(SECOND);
    assert_eq!(world.ran(), ["1.3"]);
}

#[test]
fn a_run_that_was_cut_off_is_ended_first_and_people_are_told() {
    let world = World::new("", &[("1.3", trigger("a", "critical", true))]);
    world.operator.script().cut_off = Some((run(), summary(Outcome::Undone, None)));
    let world = world.again(SECOND);
    assert!(
        world.told_last().starts_with("paged: run r20270115t070000z-00000001 was cut off, and ended now"),
        "{}",
        world.told_last()
    );
    world.sample("a", 9.0, &[]);
    assert_eq!(world.ran(), ["1.3"]);
}

#[test]
fn how_a_run_stands_is_asked_again_where_nobody_can_tell() {
    let world = World::new("[decision]\nstability = \"1m\"\n", &[("1.3", trigger("a", "critical", true))]);
    world.operator.script().runs.push_back(Err("the journal is locked".to_owned()));
    world.sample("a", 9.0, &[]);
    assert!(matches!(world.stage(), Stage::Running { .. }), "{:?}", world.stage());
    assert!(world.told_last().contains("cannot be told: the journal is locked"), "{}", world.told_last());
    world.later(MINUTE + SECOND);
    assert!(matches!(world.stage(), Stage::Stabilising { .. } | Stage::NotRecovered), "{:?}", world.stage());
    let incident = world.incident();
    assert_eq!(incident.runs.len(), 1, "by the same id: one run");
}

#[test]
fn a_clock_that_is_set_back_is_written_down_and_ends_nothing_early() {
    let world = World::new("", &[("1.3", trigger("a", "high", false))]);
    world.sample("a", 9.0, &[]);
    let Stage::Asking { until_ms } = world.stage() else { panic!("{:?}", world.stage()) };
    world.at(BEGIN - HOUR);
    assert!(world.facts().iter().any(|fact| matches!(fact, Fact::ClockSetBack { .. })), "{:?}", world.facts());
    assert!(matches!(world.stage(), Stage::Asking { .. }));
    world.at(until_ms);
    assert!(matches!(world.stage(), Stage::FixForward { .. }));
}

#[test]
fn another_daemon_goes_on_at_every_stage() {
    // As many restarts as there are stages, in each place once.
    for restart in 0..8 {
        let mut world = World::new("[decision]\nstability = \"2m\"\n", &[("1.3", trigger("a", "high", false))]);
        let mut step = 0;
        let mut maybe = |world: World| {
            step += 1;
            if step - 1 == restart { world.again(SECOND) } else { world }
        };
        world.sample("a", 9.0, &[]);
        world = maybe(world);
        world.approve("ada", "1.3");
        world = maybe(world);
        world.sample("a", 0.0, &[]);
        world = maybe(world);
        world.later(MINUTE);
        world = maybe(world);
        world.sample("a", 0.0, &[]);
        world = maybe(world);
        world.later(MINUTE);
        world = maybe(world);
        world.sample("a", 0.0, &[]);
        assert_eq!(world.ran(), ["1.3"], "restart {restart}");
        assert_eq!(world.stage(), Stage::Closed { how: Closing::Recovered }, "restart {restart}");
        assert_eq!(world.incident().verdict.map(|(verdict, _)| verdict), Some(Verdict::Recovered));
        assert_eq!(world.waiting_notices(), world.told().len(), "nothing is lost: nobody delivers here");
    }
}
