//! The seed's 37 conditions, as its document words them: each is a trigger of the shipped policies, fires at the very
//! sample where it should, and does not fire where it should not.

use crate::{
    play::{MINUTE, fired, observe, play, samples, settings},
    policies::{general, of_story},
};
use unship_rollback::{
    signal::Millis,
    trigger::{Answer, Evaluator, Phase, TriggerRule},
};

/// The seed's words, the story (empty: general) and the trigger, minutes between samples, samples that fire it and the minute at
/// which they do, samples that do not.
struct Case(&'static str, &'static str, &'static str, i64, &'static str, f64, &'static str);

const CASES: &[Case] = &[
    Case(
        "API response time > 5x baseline for 10 minutes",
        "",
        "api-slow",
        4,
        "api_response_seconds 0.2*2600 1.01*4",
        10412.0,
        "api_response_seconds 0.2*2600 1.01*3 0.9 1.01*3",
    ),
    Case(
        "Error rate > 25% for 5 minutes",
        "",
        "error-rate",
        1,
        "api_requests_total 0+100*20\napi_errors_total 0+10*6 76+26*14",
        11.0,
        "api_requests_total 0+100*20\napi_errors_total 0+25*20",
    ),
    Case(
        "Service availability < 90% for 15 minutes",
        "",
        "availability",
        1,
        "api_up 1*20 0*2",
        21.0,
        "api_up 1*20 0*1 1*14 0*1",
    ),
    Case(
        "Memory usage > 95% sustained for 10 minutes",
        "",
        "memory",
        1,
        "host_memory_used_ratio 0.95*3 0.951*11",
        13.0,
        "host_memory_used_ratio 0.96*10 0.95*1 0.96*10",
    ),
    Case(
        "Data validation failures > 10% of records",
        "",
        "data-validation",
        1,
        "validated_records_total 0*3 0+50*4\nvalidation_failures_total 0*3 0+6*4",
        5.0,
        "validated_records_total 0*3 0+50*4\nvalidation_failures_total 0*3 0+5*4",
    ),
    Case(
        "Authentication service failure rate > 10%",
        "1.1.5",
        "auth-failures",
        1,
        "auth_attempts_total 0+20*6\nauth_failures_total 0+3*6",
        3.0,
        "auth_attempts_total 0+20*6\nauth_failures_total 0+2*6",
    ),
    Case(
        "API key validation taking > 2 seconds",
        "1.1.5",
        "key-validation-slow",
        1,
        "api_key_validation_seconds 0.1*6 3*2",
        6.0,
        "api_key_validation_seconds 2*12",
    ),
    Case(
        "Feature flag system non-responsive",
        "1.1.5",
        "flags-unresponsive",
        1,
        "flag_service_up 1*2 0*3",
        4.0,
        "flag_service_up 1*2 0*2 1*1 0*2",
    ),
    Case(
        "Security log write failures > 5%",
        "1.1.5",
        "security-log",
        1,
        "security_log_writes_total 0+20*4\nsecurity_log_failures_total 0*2 1*1 4*1",
        3.0,
        "security_log_writes_total 0+20*9\nsecurity_log_failures_total 0+1*9",
    ),
    Case(
        "PyAirbyte subprocess crashes > 3 times in 10 minutes",
        "1.2",
        "crashes",
        1,
        "pyairbyte_restarts_total 7*4 8*2 9*1 10*3 11*1",
        10.0,
        "pyairbyte_restarts_total 7*4 8*2 9*1 10*7 11*1 11*5",
    ),
    Case(
        "Data ingestion rate < 100 records/second for 15 minutes",
        "1.2",
        "ingestion-slow",
        1,
        "ingestion_records_per_second 500*2 99*16\ningestion_backlog 5*18",
        17.0,
        "ingestion_records_per_second 500*2 0*40\ningestion_backlog 5*10 0*1 5*14 0*17",
    ),
    Case(
        "Memory usage by PyAirbyte > 4GB",
        "1.2",
        "memory",
        1,
        "pyairbyte_memory_bytes 1000000000*3 4000000001*3",
        5.0,
        "pyairbyte_memory_bytes 4000000001*2 4000000000*9",
    ),
    Case(
        "Python subprocess communication timeout > 30 seconds",
        "1.2",
        "reply-slow",
        1,
        "pyairbyte_reply_seconds 1*2 31*3",
        4.0,
        "pyairbyte_reply_seconds 1*2 31*2 30*9",
    ),
    Case(
        "DuckDB query timeout > 2 minutes occurring > 5 times/hour",
        "1.3",
        "slow-queries",
        10,
        "duckdb_query_seconds 121*6",
        50.0,
        "duckdb_query_seconds 121*5 120*1 121*5 120*9",
    ),
    Case(
        "DuckDB memory usage > 8GB",
        "1.3",
        "memory",
        1,
        "duckdb_memory_bytes 8000000000*3 8000000001*3",
        5.0,
        "duckdb_memory_bytes 8000000001*2 8000000000*9",
    ),
    Case(
        "Database corruption detected",
        "1.3",
        "corruption",
        5,
        "duckdb_corruption 0*3 1",
        15.0,
        "duckdb_corruption 0*9",
    ),
    Case(
        "Query error rate > 15%",
        "1.3",
        "query-errors",
        1,
        "duckdb_queries_total 0+10*6\nduckdb_query_errors_total 0+2*6",
        2.0,
        "duckdb_queries_total 0+20*6\nduckdb_query_errors_total 0+3*6",
    ),
    Case(
        "dbt run failure rate > 20%",
        "1.4",
        "run-failures",
        60,
        "dbt_model_failure_ratio 0 0.21*2",
        120.0,
        "dbt_model_failure_ratio 0.21 0.2 0.21 0.2",
    ),
    Case(
        "Transformation time > 2x baseline",
        "1.4",
        "transformations-slow",
        60,
        "dbt_run_seconds 300*30 601*2",
        1860.0,
        "dbt_run_seconds 300*30 601 600 601 600",
    ),
    Case(
        "Test failure rate > 30%",
        "1.4",
        "test-failures",
        60,
        "dbt_test_failure_ratio 0 0.31*2",
        120.0,
        "dbt_test_failure_ratio 0.31 0.3 0.31 0.3",
    ),
    Case(
        "Model compilation errors > 10",
        "1.4",
        "compile-errors",
        60,
        "dbt_compile_errors 0 11",
        60.0,
        "dbt_compile_errors 10*5",
    ),
    Case(
        "Dagster daemon crash > 2 times in 1 hour",
        "1.5",
        "daemon-crashes",
        5,
        "dagster_daemon_restarts_total 0*2 1*4 2*6 3*1",
        60.0,
        "dagster_daemon_restarts_total 0*2 1*4 2*8 3*1 3*4",
    ),
    Case(
        "Pipeline execution backlog > 100 jobs",
        "1.5",
        "backlog",
        1,
        "dagster_queued_runs 100*2 101*6",
        7.0,
        "dagster_queued_runs 101*5 100*1 101*5",
    ),
    Case(
        "Asset materialization failure > 25%",
        "1.5",
        "materialization-failures",
        5,
        "dagster_materializations_total 0+10*5\ndagster_materialization_failures_total 0+3*5",
        10.0,
        // One of two is half of them, and too few to say anything.
        "dagster_materializations_total 0 2*9\ndagster_materialization_failures_total 0 1*9",
    ),
    Case(
        "Web UI unresponsive for > 10 minutes",
        "1.5",
        "web-unresponsive",
        1,
        "dagster_web_up 1*2 0*11",
        12.0,
        "dagster_web_up 0*10 1 0*10",
    ),
    Case(
        "LLM API errors > 50% of requests",
        "1.6",
        "llm-errors",
        1,
        "llm_requests_total 0+10*5\nllm_errors_total 0+6*5",
        2.0,
        "llm_requests_total 0+10*9\nllm_errors_total 0+5*9",
    ),
    Case(
        "Hypothesis generation time > 5 minutes",
        "1.6",
        "hypotheses-slow",
        10,
        "hypothesis_generation_seconds 301*3",
        20.0,
        "hypothesis_generation_seconds 301*2 300*4 301*2",
    ),
    Case(
        "Memory usage during EDA > 6GB",
        "1.6",
        "memory",
        1,
        "eda_memory_bytes 6000000001*6\neda_jobs_running 0*2 1*4",
        4.0,
        "eda_memory_bytes 6000000001*9\neda_jobs_running 0*2 1*2 0*5",
    ),
    Case(
        "Statistical computation errors > 20%",
        "1.6",
        "statistics-errors",
        1,
        "statistics_total 0+10*5\nstatistics_errors_total 0+3*5",
        2.0,
        "statistics_total 0+10*9\nstatistics_errors_total 0+2*9",
    ),
    Case(
        "Build time > 10 minutes",
        "1.7",
        "build-slow",
        30,
        "evidence_build_seconds 600 601",
        30.0,
        "evidence_build_seconds 600*5",
    ),
    Case(
        "Page load time > 5 seconds",
        "1.7",
        "pages-slow",
        1,
        "evidence_page_seconds 1*9 6*2",
        10.0,
        "evidence_page_seconds 5*20",
    ),
    Case(
        "Build failures > 3 consecutive",
        "1.7",
        "build-failures",
        60,
        "evidence_build_failed 0 1*4",
        240.0,
        "evidence_build_failed 1*3 0 1*3 0",
    ),
    Case(
        "Memory usage during build > 4GB",
        "1.7",
        "build-memory",
        1,
        "evidence_build_memory_bytes 4000000000*2 4000000001*2",
        3.0,
        "evidence_build_memory_bytes 4000000001 4000000000 4000000001",
    ),
    Case(
        "Test suite execution time > 1 hour",
        "1.8",
        "tests-slow",
        60,
        "test_suite_seconds 3600 3601",
        60.0,
        "test_suite_seconds 3600*5",
    ),
    Case(
        "Test infrastructure failure",
        "1.8",
        "test-infrastructure",
        5,
        "test_infrastructure_failed 0*2 1",
        10.0,
        "test_infrastructure_failed 0*5",
    ),
    Case(
        "Documentation generation failure",
        "1.8",
        "docs-failed",
        60,
        "docs_build_failed 0 1",
        60.0,
        "docs_build_failed 0*5",
    ),
    Case(
        "Integration test pass rate < 70%",
        "1.8",
        "integration-pass-rate",
        60,
        "integration_pass_ratio 0.7 0.69",
        60.0,
        "integration_pass_ratio 0.7*5",
    ),
];

fn triggers(story: &str) -> Vec<TriggerRule> {
    if story.is_empty() { general() } else { of_story(story) }
}

#[test]
fn each_of_the_37_conditions_fires_at_its_sample_and_not_where_it_should_not() {
    let mut wrong = Vec::new();
    for Case(words, story, name, step, firing, at, calm) in CASES {
        let rules = triggers(story);
        let rule = rules.iter().find(|r| r.name == *name).unwrap_or_else(|| panic!("{words}: no trigger {name}"));
        let fired_at = fired(&play(std::slice::from_ref(rule), &samples(firing, step * MINUTE)));
        if fired_at != [*at] {
            wrong.push(format!("{words}: `{}` fired at {fired_at:?}, not at {at}", rule.when.text()));
        }
        let fired_at = fired(&play(std::slice::from_ref(rule), &samples(calm, step * MINUTE)));
        if !fired_at.is_empty() {
            wrong.push(format!("{words}: `{}` fired at {fired_at:?} of what is well", rule.when.text()));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn no_condition_fires_or_clears_without_data() {
    for Case(words, story, name, step, firing, at, _) in CASES {
        let rules = triggers(story);
        let rule = rules.iter().find(|r| r.name == *name).expect("a trigger");
        let step = step * MINUTE;
        let all = samples(firing, step);
        #[expect(clippy::cast_possible_truncation, reason = "a time of the table")]
        let at = (*at * 60_000.0) as i64;
        let hour = (rule.conduct.stale_after_ms + 1).max(60 * MINUTE);
        // What was short of firing does not fire for an hour without data, nor does what follows it at once.
        let before: Vec<_> = all.iter().filter(|(_, s)| s.at.0 < at).cloned().collect();
        let mut evaluator = Evaluator::new(vec![rule.clone()], settings());
        observe(&mut evaluator, &before);
        let changes = evaluator.advance(Millis(at + hour));
        assert!(fired(&changes).is_empty(), "{words}");
        // What has fired is not cleared by an hour without data.
        let mut evaluator = Evaluator::new(vec![rule.clone()], settings());
        observe(&mut evaluator, &all.into_iter().filter(|(_, s)| s.at.0 <= at).collect::<Vec<_>>());
        let mut changes = evaluator.advance(Millis(at));
        changes.extend(evaluator.advance(Millis(at + hour)));
        assert_eq!(fired(&changes).len(), 1, "{words}");
        let state = evaluator.state(0).expect("the rule's state");
        assert_eq!(state.phase, Phase::Fired, "{words}");
        assert_eq!(state.answer, Answer::NoData, "{words}");
    }
}

#[test]
fn the_table_has_every_condition_of_the_seed_once_and_every_trigger_is_one() {
    assert_eq!(CASES.len(), 37);
    let mut words: Vec<&str> = CASES.iter().map(|c| c.0).collect();
    words.sort_unstable();
    words.dedup();
    assert_eq!(words.len(), 37);
    for (story, count) in
        [("", 5), ("1.1.5", 4), ("1.2", 4), ("1.3", 4), ("1.4", 4), ("1.5", 4), ("1.6", 4), ("1.7", 4), ("1.8", 4)]
    {
        let mut shipped: Vec<String> = triggers(story).into_iter().map(|t| t.name).collect();
        let mut tabled: Vec<&str> = CASES.iter().filter(|c| c.1 == story).map(|c| c.2).collect();
        shipped.sort_unstable();
        tabled.sort_unstable();
        assert_eq!(tabled.len(), count, "story {story:?}");
        assert_eq!(shipped, tabled, "story {story:?}");
    }
}

#[test]
fn the_seeds_severity_and_automation_are_kept_and_1_1_5_and_1_8_are_never_automatic() {
    let general: Vec<(String, String, bool)> = general()
        .into_iter()
        .map(|rule| {
            let trigger = rule.trigger.expect("a table");
            (rule.name, format!("{:?}", trigger.severity), trigger.auto)
        })
        .collect();
    let seed = [
        ("api-slow", "Critical", true),
        ("error-rate", "Critical", true),
        ("availability", "High", false),
        ("memory", "High", true),
        ("data-validation", "Critical", true),
    ];
    let seed: Vec<_> = seed.map(|(n, s, a)| (n.to_owned(), s.to_owned(), a)).into();
    assert_eq!(general, seed);
    for story in ["1.1.5", "1.8"] {
        assert!(of_story(story).iter().all(|r| !r.trigger.as_ref().expect("a table").auto), "{story}");
    }
}
