//! Killed right after any kind of fact and started again, it comes to the same end.

use crate::support::{BEGIN, HOUR, MINUTE, State, World, approval, planned, setup, stage};
use std::collections::BTreeSet;
use unship_controller::ports::{Exposed, Planned};
use unship_rollback::{RunId, incident::Wish};

/// A story that another one comes before, people who are asked, an exposure, a post-mortem: most that can happen.
fn night(dies_at: Option<&'static str>) -> (Vec<String>, World) {
    let run = RunId::new("r20270101t000000z-00000001").expect("an id");
    let mut state = State::default();
    state.exposed.push(Exposed { run, story: "1.1.5".into(), until_ms: BEGIN + 10 * MINUTE });
    state.plans.insert("1.8".into(), Err("no bundle".into()));
    let mut setup = setup();
    setup.watch.links = Some("https://unship.example".into());
    setup.watch.approvers = vec!["ada".into()];
    let mut world = World::with(setup, state);
    world.stop();
    world.start(dies_at);
    let mut died = false;
    let mut go = |world: &mut World, step: &mut dyn FnMut(&mut World) -> bool| {
        if !step(world) {
            assert!(!died, "it dies once");
            died = true;
            world.after_death();
            // What was lost with it comes again, as from a source that is looked at again and again.
            assert!(step(world));
        }
    };
    let at = world.now_ms;
    go(&mut world, &mut |w| w.try_clock(at));
    world.script.state().plans.insert("1.3".into(), Ok(Planned { unmet: vec!["1.4".into()], ..planned(1) }));
    go(&mut world, &mut |w| w.try_sample("ask", 10.0));
    world.script.state().plans.remove("1.3");
    let first = world.of("1.4").id;
    world.hand_in(Wish::Approve { incident: first, approval: approval(1, |s| s.story = "1.4".into()) });
    let at = world.now_ms;
    go(&mut world, &mut |w| w.try_clock(at));
    let second = world.of("1.3").id;
    world.hand_in(Wish::Approve { incident: second, approval: approval(1, |_| ()) });
    go(&mut world, &mut |w| w.try_clock(at));
    for _ in 0..4 {
        let at = world.now_ms + 4 * MINUTE;
        go(&mut world, &mut |w| w.try_clock(at));
        go(&mut world, &mut |w| w.try_sample("ask", 0.0));
    }
    let at = world.now_ms + 2 * HOUR;
    go(&mut world, &mut |w| w.try_clock(at));
    let mut end: Vec<String> = world.incidents().iter().map(|i| format!("{:?} {}", i.story, stage(i))).collect();
    // Those of one second have their order by chance.
    end.sort();
    (end, world)
}

#[test]
fn killed_after_any_kind_of_fact_it_comes_to_the_same_end() {
    let (end, world) = night(None);
    assert_eq!(end, ["Some(\"1.3\") Closed Recovered", "Some(\"1.4\") Closed Recovered"]);
    let kinds: BTreeSet<&'static str> = world.kinds().into_iter().collect();
    for wanted in ["waits", "link-made", "approval-counted", "exposure-ended", "post-mortem-overdue", "not-ready"] {
        assert!(kinds.contains(wanted), "the night has {wanted}: {kinds:?}");
    }
    for kind in kinds.into_iter().filter(|kind| *kind != "watch-ended") {
        let (found, world) = night(Some(kind));
        assert_eq!(found, end, "{kind}");
        let mut runs: Vec<RunId> = world.orders().into_iter().map(|order| order.run).collect();
        runs.sort();
        runs.dedup();
        assert_eq!(runs.len(), 2, "{kind}: one run a story");
        let facts = ["incident-opened", "run-began", "run-ended", "verdict-reached", "incident-closed"];
        let counts = facts.map(|fact| world.count(fact));
        assert_eq!(counts, [2; 5], "{kind}");
        assert_eq!((world.count("exposure-began"), world.count("exposure-ended")), (1, 1), "{kind}");
        assert_eq!(world.count("approval-counted"), 2, "{kind}");
    }
}
