//! What the series of an incident's triggers did is written down once: when a trigger fires, when its story is taken back, and when
//! it is over.

use crate::support::{HOUR, MINUTE, SECOND, World, setup, without};
use unship_rollback::incident::{Fact, Seen};

/// By trigger and series: the values, as they were written down; a line a fact.
fn seen(facts: &[Fact]) -> Vec<String> {
    let of = |seen: &Seen| {
        let values: Vec<String> = seen.samples().map(|s| s.value.to_string()).collect();
        format!("{} {}", seen.series, values.join(" "))
    };
    let line = |fact: &Fact| match fact {
        Fact::SeriesSeen { trigger, series, .. } => {
            Some(format!("{trigger}: {}", series.iter().map(of).collect::<Vec<_>>().join("; ")))
        }
        Fact::IncidentOpened { .. }
        | Fact::TriggerJoined { .. }
        | Fact::RunBegan { .. }
        | Fact::VerdictReached { .. }
        | Fact::IncidentClosed { .. } => Some(fact.kind().to_owned()),
        _ => None,
    };
    facts.iter().filter_map(line).collect()
}

#[test]
fn what_led_to_it_and_what_came_after_is_written_down_once() {
    let mut world = World::new();
    assert!(world.labelled("act", 0.5, &[("host", "a")]));
    assert!(world.labelled("act", 0.25, &[("host", "b")]));
    assert!(world.labelled("act", f64::NAN, &[("host", "b")]));
    assert!(world.labelled("act", 9.0, &[("host", "b")]));
    assert!(world.labelled("act", 0.0, &[("host", "a")]));
    world.later(4 * MINUTE);
    assert!(world.labelled("act", 0.75, &[("host", "b")]));
    for _ in 0..4 {
        world.later(4 * MINUTE);
        assert!(world.labelled("act", 0.0, &[("host", "b")]) && world.labelled("act", 0.0, &[("host", "a")]));
    }
    assert_eq!(
        seen(&world.take_facts()),
        [
            "incident-opened",
            // The one that made it fire comes first.
            "1.3/act: act{host=\"b\"} 0.25 NaN 9; act{host=\"a\"} 0.5",
            "run-began",
            "1.3/act: act{host=\"b\"} 0.75 0 0; act{host=\"a\"} 0 0 0",
            "verdict-reached",
            "incident-closed",
        ]
    );
}

#[test]
fn people_take_their_time_and_what_happens_meanwhile_is_kept() {
    let mut world = World::new();
    world.sample("ask", 0.5);
    world.fire("ask");
    world.later(10 * MINUTE);
    world.sample("ask", 12.0);
    world.later(5 * MINUTE);
    world.calm("ask");
    assert_eq!(
        seen(&world.take_facts()),
        ["incident-opened", "1.3/ask: ask 0.5 10", "1.3/ask: ask 12 0", "incident-closed"]
    );
    // What is long over is not told as what led to it.
    world.later(24 * HOUR);
    world.fire("page");
    assert_eq!(seen(&world.take_facts()), ["incident-opened", "1.3/page: page 10"]);
}

#[test]
fn other_policies_change_nothing_of_what_was_seen() {
    let mut world = World::new();
    world.sample("ask", 0.5);
    let mut new = setup();
    new.rules = without("watch");
    world.files.set(Ok(new));
    world.reload();
    world.later(SECOND);
    world.fire("ask");
    assert_eq!(seen(&world.take_facts()), ["incident-opened", "1.3/ask: ask 0.5 10"]);
    // Whoever begins anew knows what it saw itself.
    world.restart();
    world.sample("ask", 2.0);
    world.later(15 * MINUTE);
    world.calm("ask");
    let told = seen(&world.take_facts());
    assert_eq!(told, ["1.3/ask: ask 2 0", "incident-closed"], "{told:?}");
}
