//! The readers of recorded data: what each format means, what is refused at which place, and that nothing they are fed
//! with makes them hold more than their limits.

use proptest::prelude::*;
use std::{collections::BTreeSet, io::Read};
use unship_rollback::signal::{
    CsvReader, Dialect, Millis, ReadError, ReadLimits, Recording, STALE_BITS, TextReader, TokenLimit, parse_series,
    parse_values, read_matrix,
};

fn recording() -> Recording {
    let metrics: BTreeSet<String> = ["up", "a:b", "build_seconds"].iter().map(|m| (*m).to_owned()).collect();
    Recording::new(metrics, 1000, 1000)
}

/// A recording on lines: `time value series`, by time.
fn listed(mut recording: Recording) -> Vec<String> {
    let mut all = Vec::new();
    recording.replay(|n, s| all.push((n, s)));
    let line = |(n, s): &(usize, unship_rollback::signal::Sample)| {
        let series = &recording.series()[*n].0;
        let labels: Vec<String> = series.labels().iter().map(|(k, v)| format!("{k}={v:?}")).collect();
        format!("{} {} {}{{{}}}", s.at.0, s.value, series.metric(), labels.join(","))
    };
    all.iter().map(line).collect()
}

fn text(dialect: Dialect, data: &[u8], chunk: usize) -> Result<Vec<String>, ReadError> {
    let mut into = recording();
    let mut reader = TextReader::new(dialect, ReadLimits::default(), None, &mut into);
    for part in data.chunks(chunk.max(1)) {
        reader.push(part)?;
    }
    reader.finish()?;
    Ok(listed(into))
}

/// The calendar of these tests knows one day.
fn calendar(text: &str) -> Option<i64> {
    (text == "2026-03-01T12:00:00Z").then_some(1_772_366_400_000)
}

fn csv(data: &[u8], chunk: usize) -> Result<Vec<String>, ReadError> {
    let mut into = recording();
    let mut reader = CsvReader::new(ReadLimits::default(), calendar, &mut into);
    for part in data.chunks(chunk.max(1)) {
        reader.push(part)?;
    }
    reader.finish()?;
    Ok(listed(into))
}

fn matrix(data: &str) -> Result<Vec<String>, String> {
    let mut into = recording();
    let mut json = serde_json::Deserializer::from_reader(data.as_bytes());
    read_matrix(&mut json, &mut &mut into).map_err(|e| e.to_string())?;
    json.end().map_err(|e| e.to_string())?;
    Ok(listed(into))
}

const OPENMETRICS: &str = "# TYPE up gauge\n# HELP up Whether it is.\nup{job=\"web\"} 1 1700000000.5\n\
    up{job=\"web\"} 0 1700000060 # {trace_id=\"x\"} 0.5 1700000059\nother{x=\"1\"} 7 1700000001\nup 3.5e2 1700000000\n\
    a:b{quote=\"\\\"\",back=\"\\\\\",line=\"\\n\",brace=\"}\"} +Inf 1700000000.001\nup{job=\"web\",} NaN 1.7000000615e9\n# EOF\n";

const OPENMETRICS_READ: [&str; 5] = [
    "1700000000000 350 up{}",
    "1700000000001 inf a:b{back=\"\\\\\",brace=\"}\",line=\"\\n\",quote=\"\\\"\"}",
    "1700000000500 1 up{job=\"web\"}",
    "1700000060000 0 up{job=\"web\"}",
    "1700000061500 NaN up{job=\"web\"}",
];

#[test]
fn openmetrics_is_read() {
    assert_eq!(text(Dialect::OpenMetrics, OPENMETRICS.as_bytes(), 4096).expect("it is valid"), OPENMETRICS_READ);
}

#[test]
fn prometheus_text_is_read() {
    let data = b"# a comment\r\n\nup{job = \"web\" , zone=\"\"}   1\t1700000000500\r\nup -0 1700000000500\nup {job=\"db\"} 2 0";
    let read = ["0 2 up{job=\"db\"}", "1700000000500 1 up{job=\"web\"}", "1700000000500 -0 up{}"];
    assert_eq!(text(Dialect::Prometheus, data, 4096).expect("it is valid"), read);
}

#[test]
fn a_scrape_gives_its_time_to_samples_without_one() {
    let mut into = recording();
    let at = Some(Millis(5));
    let mut reader = TextReader::new(Dialect::OpenMetrics, ReadLimits::default(), at, &mut into);
    reader.push(b"up 1\nup{a=\"b\"} 2 # {} 1\nup 3 1\n# EOF\n").expect("it is valid");
    reader.finish().expect("it is whole");
    assert_eq!(listed(into), ["5 1 up{}", "5 2 up{a=\"b\"}", "1000 3 up{}"]);
}

#[test]
fn csv_is_read() {
    let data = b"time,host,metric,value\n2026-03-01T12:00:00Z,\"a,\"\"b\"\"\nc\",up,1\n\n1772366400.25,,up,-Inf\r\n1,x,other,3\n";
    let read = ["1772366400000 1 up{host=\"a,\\\"b\\\"\\nc\"}", "1772366400250 -inf up{}"];
    assert_eq!(csv(data, 4096).expect("it is valid"), read);
    assert_eq!(csv(b"\xef\xbb\xbfvalue,time,metric\n1,2,up", 4096).expect("a byte order mark"), ["2000 1 up{}"]);
}

#[test]
fn a_range_querys_answer_is_read() {
    let rows = r#"[{"metric":{"__name__":"up","job":"web"},"values":[[1700000000.781,"1"],[1700000060,"NaN"]]},
        {"metric":{"__name__":"other"},"values":[[1,"2"]]}]"#;
    let read = ["1700000000781 1 up{job=\"web\"}", "1700000060000 NaN up{job=\"web\"}"];
    assert_eq!(matrix(rows).expect("a bare list"), read);
    let whole = format!(r#"{{"status":"success","data":{{"resultType":"matrix","result":{rows}}},"warnings":["x"]}}"#);
    assert_eq!(matrix(&whole).expect("a whole answer"), read);
}

#[test]
fn text_at_fault_is_told_at_its_place() {
    let cases: &[(&[u8], &str)] = &[
        (b"up 1 1\n1up 1 1", "line 2, byte 1: `1up` is no metric's name"),
        (b"u\x1bp 1 1", "line 1, byte 1: `u\\x1bp` is no metric's name"),
        (b"\xffup 1 1", "line 1, byte 1: `\u{fffd}up` is no metric's name"),
        (b"{job=\"x\"} 1 1", "line 1, byte 1: `` is no metric's name"),
        (b"up", "line 1, byte 3: `` is no number"),
        (b"up one 1", "line 1, byte 4: `one` is no number"),
        (b"up 1e999 1", "line 1, byte 4: `1e999` is too large for a number"),
        (b"up 0x10 1", "line 1, byte 4: `0x10` is no number"),
        (b"up \xff 1", "line 1, byte 4: `\u{fffd}` is not UTF-8"),
        (b"up 1", "line 1, byte 5: the sample has no time"),
        (b"up 1 soon", "line 1, byte 6: `soon` is no time in seconds since 1970"),
        (b"up 1 nan", "line 1, byte 6: `nan` is no time in seconds since 1970"),
        (b"up 1 -1", "line 1, byte 6: a time of -1000 ms since 1970 is not within the years 1970 to 9999"),
        (
            b"up 1 1e300",
            "line 1, byte 6: a time of 9223372036854775807 ms since 1970 is not within the years 1970 to 9999",
        ),
        (
            b"up 1 999999999999",
            "line 1, byte 6: a time of 999999999999000 ms since 1970 is not within the years 1970 to 9999",
        ),
        (b"up 1 1 1", "line 1, byte 8: `1` stands behind the sample"),
        (b"up{job=\"x\" 1 1", "line 1, byte 3: the labels have no closing `}`"),
        (b"up{job=\"x} 1 1", "line 1, byte 3: the labels have no closing `}`"),
        (b"up{job:\"x\"} 1 1", "line 1, byte 11: `=` is missing before ``"),
        (b"up{job=x} 1 1", "line 1, byte 8: `\"` is missing before `x`"),
        (b"up{a=\"x\"b=\"y\"} 1 1", "line 1, byte 9: `,` is missing before `b=\"y\"`"),
        (b"up{a=\"x\",a=\"y\"} 1 1", "line 1, byte 10: the label `a` stands twice"),
        (b"up{__name__=\"x\"} 1 1", "line 1, byte 4: `__name__` is no label's name"),
        (b"up{a\x07=\"x\"} 1 1", "line 1, byte 4: `a\\x07` is no label's name"),
        (b"up{a=\"\\x\"} 1 1", "line 1, byte 7: a backslash stands before none of `\\`, `\"` and `n`"),
        (b"up{a=\"\xff\"} 1 1", "line 1, byte 7: `\u{fffd}` is not UTF-8"),
        (b"other{a=\"\xff\"} 1 1", "line 1, byte 10: `\u{fffd}` is not UTF-8"),
        (b"up 1 1\n# EOF\nup 1 2", "line 3, byte 1: there is more behind the line `# EOF`"),
        (b"up 1 1\n", "line 2, byte 1: the data ends without the line `# EOF`: it is cut, or not OpenMetrics"),
    ];
    for (data, wanted) in cases {
        for chunk in [1, 3, 4096] {
            let error = text(Dialect::OpenMetrics, data, chunk).expect_err("it is at fault");
            assert_eq!(error.to_string(), *wanted, "{}", String::from_utf8_lossy(data));
        }
    }
    for (data, wanted) in [
        ("up 1 1.5", "line 1, byte 6: `1.5` is no time in milliseconds"),
        ("up 1 99999999999999999999", "line 1, byte 6: `99999999999999999999` is no time in milliseconds"),
        ("up 1 -5", "line 1, byte 6: a time of -5 ms since 1970 is not within the years 1970 to 9999"),
        ("up 1 1 # {}", "line 1, byte 8: `# {}` stands behind the sample"),
    ] {
        assert_eq!(text(Dialect::Prometheus, data.as_bytes(), 4096).expect_err("at fault").to_string(), wanted);
    }
    let labels: Vec<String> = (0..65).map(|n| format!("l{n}=\"x\"")).collect();
    let error = text(Dialect::OpenMetrics, format!("up{{{}}} 1 1", labels.join(",")).as_bytes(), 4096);
    assert!(error.expect_err("too many").message.contains("a series has more than 64 labels"));
}

#[test]
fn csv_at_fault_is_told_at_its_place() {
    let cases: &[(&[u8], &str)] = &[
        (b"", "line 1, field 1: the data has no header"),
        (b"time,metric\n", "line 1, field 1: the header lacks the column `value`"),
        (b"time,metric,value,value\n", "line 1, field 4: the column `value` stands twice"),
        (b"time,metric,value,a,a\n", "line 1, field 5: the column `a` stands twice"),
        (
            b"time,metric,value,a b\n",
            "line 1, field 4: `a b` is neither `time`, `metric` or `value` nor a label's name",
        ),
        (b"time,metric,value,\xff\n", "line 1, field 4: `\u{fffd}` is not UTF-8"),
        (b"time,metric,value\n1,up\n", "line 2, field 2: the record has 2 fields, the header 3"),
        (b"time,metric,value\n1,up,1\n1,up,1,1\n", "line 3, field 4: the record has 4 fields, the header 3"),
        (b"time,metric,value\nsoon,up,1\n", "line 2, field 1: `soon` is no time"),
        (b"time,metric,value\n1,u p,1\n", "line 2, field 2: `u p` is no metric's name"),
        (b"time,metric,value\n1,up,-1e400\n", "line 2, field 3: `-1e400` is too large for a number"),
        (b"time,metric,value,__name__\n1,up,1,x\n", "line 2, field 4: `__name__` is no label's name"),
        (b"time,metric,value,a\n1,up,1,\xff\n", "line 2, field 4: `\u{fffd}` is not UTF-8"),
    ];
    for (data, wanted) in cases {
        for chunk in [1, 4096] {
            let error = csv(data, chunk).expect_err("it is at fault");
            assert_eq!(error.to_string(), *wanted, "{}", String::from_utf8_lossy(data));
        }
    }
    let wide = format!("time,metric,value{}\n", ",x".repeat(100));
    let error = csv(wide.as_bytes(), 4096).expect_err("too wide").to_string();
    assert!(error.contains("the record has more than 67 fields"), "{error}");
}

#[test]
fn a_range_querys_answer_at_fault_is_told_at_its_place() {
    for (data, wanted) in [
        ("", "EOF while parsing a value at line 1 column 0"),
        ("7", "invalid type: integer `7`, expected the answer to a range query"),
        ("{}", "missing field `data`"),
        (r#"{"status":"error","error":"x"}"#, "its status is `error`"),
        (r#"{"data":{"resultType":"vector","result":[]}}"#, "it is a `vector`, not the matrix of a range query"),
        (r#"{"data":{"resultType":"matrix"}}"#, "missing field `result`"),
        ("[{}]", "missing field `metric`"),
        (r#"[{"values":[]}]"#, "`values` comes before `metric`"),
        (
            r#"[{"metric":{"a":"b"}}]"#,
            "a series has no `__name__`: record the metric itself, not an expression over it",
        ),
        (r#"[{"metric":{"__name__":"a b"}}]"#, "`a b` is no metric's name"),
        (r#"[{"metric":{"__name__":"up","a-b":"c"}}]"#, "`a-b` is no label's name"),
        (r#"[{"metric":{"__name__":"up"},"value":[1,"2"]}]"#, "`value` is none of `metric` and `values`"),
        (r#"[{"metric":{"__name__":"up"},"values":[[1,2]]}]"#, "invalid type: integer `2`, expected a string"),
        (r#"[{"metric":{"__name__":"up"},"values":[[1,"x"]]}]"#, "`x` is no number"),
        (r#"[{"metric":{"__name__":"up"},"values":[[-1,"1"]]}]"#, "a time of -1000 ms since 1970 is not within"),
        (r#"[{"metric":{"__name__":"up"},"values":[[1e999,"1"]]}]"#, "number out of range"),
        (r#"[{"metric":{"__name__":"up"},"values":[[1,"1"]]"#, "EOF while parsing"),
        ("[] []", "trailing characters at line 1 column 4"),
    ] {
        let error = matrix(data).expect_err("it is at fault");
        assert!(error.contains(wanted) && error.contains("line 1 column"), "{data}: {error}");
    }
    assert!(matrix(&"[".repeat(1_000_000)).expect_err("it is deep").contains("expected"));
}

/// A stream of `head` and then `count` times the same byte, in chunks of 64 KiB; how many bytes were asked for.
struct Endless {
    head: &'static [u8],
    byte: u8,
    left: u64,
    given: u64,
}

impl Endless {
    /// 1 GB in one line.
    fn gigabyte(head: &'static [u8], byte: u8) -> Endless {
        Endless { head, byte, left: 1 << 30, given: 0 }
    }
}

impl Read for Endless {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        if !self.head.is_empty() {
            return self.head.read(into);
        }
        let length = usize::try_from(self.left).unwrap_or(usize::MAX).min(into.len());
        into[..length].fill(self.byte);
        self.left -= length as u64;
        self.given += length as u64;
        Ok(length)
    }
}

/// Feeds `stream` until it ends or is refused.
fn fed(stream: &mut Endless, mut push: impl FnMut(&[u8]) -> Result<(), String>) -> Result<(), String> {
    let mut chunk = vec![0; 64 << 10];
    loop {
        match stream.read(&mut chunk).expect("memory") {
            0 => return Ok(()),
            length => push(&chunk[..length])?,
        }
    }
}

#[test]
fn a_line_of_a_gigabyte_ends_at_the_limit() {
    for head in [&b"up{a=\""[..], b"# ", b"up 1", b""] {
        let mut into = recording();
        let mut reader = TextReader::new(Dialect::OpenMetrics, ReadLimits::default(), None, &mut into);
        let mut stream = Endless::gigabyte(head, b'7');
        let error = fed(&mut stream, |chunk| reader.push(chunk).map_err(|e| e.to_string())).expect_err("too long");
        assert_eq!(error, "line 1, byte 65537: the line has more than 65536 bytes");
        assert!(stream.given <= 128 << 10, "it stops at the limit");
    }
    for head in [&b"time,metric,value\n1,up,"[..], b"\"", b"time,metric,value\n1,\""] {
        let mut into = recording();
        let mut reader = CsvReader::new(ReadLimits::default(), calendar, &mut into);
        let mut stream = Endless::gigabyte(head, b'7');
        let error = fed(&mut stream, |chunk| reader.push(chunk).map_err(|e| e.to_string())).expect_err("too long");
        assert!(error.contains("the record has more than 65536 bytes"), "{error}");
        assert!(stream.given <= 192 << 10, "it stops at the limit");
    }
    for head in [&b"[{\"metric\":{\"__name__\":\""[..], b"[", b"{\"", b"{\"warnings\":[\"\\"] {
        let mut limit = TokenLimit::new(65536);
        let mut stream = Endless::gigabyte(head, b'7');
        let error = fed(&mut stream, |chunk| limit.check(chunk)).expect_err("too long");
        assert_eq!(error, "a text or number has more than 65536 bytes");
        assert!(stream.given <= 128 << 10, "it stops at the limit");
    }
}

#[test]
fn endless_blank_lines_are_passed_over() {
    let mut into = recording();
    let mut reader = TextReader::new(Dialect::Prometheus, ReadLimits::default(), None, &mut into);
    let mut stream = Endless::gigabyte(b"up 1 1\n", b'\n');
    fed(&mut stream, |chunk| reader.push(chunk).map_err(|e| e.to_string())).expect("a billion empty lines");
    reader.finish().expect("it is whole");
    assert_eq!(listed(into), ["1 1 up{}"]);
}

#[test]
fn a_limit_of_tokens_is_one_of_each_not_of_all() {
    let mut limit = TokenLimit::new(8);
    let numbers = "[1234567,\"12345\\\"\",  -1.5e7]".repeat(1000);
    assert_eq!(limit.check(numbers.as_bytes()), Ok(()));
}

#[test]
fn series_and_samples_have_a_limit() {
    let limits = ReadLimits { series_max: 3, ..ReadLimits::default() };
    let mut into = recording();
    let mut reader = TextReader::new(Dialect::Prometheus, limits, None, &mut into);
    for n in 0..3 {
        reader
            .push(format!("up{{n=\"{n}\"}} 1 1\nother{{n=\"{n}\"}} 1 1\nup{{n=\"{n}\"}} 1 2\n").as_bytes())
            .expect("it fits");
    }
    // What nobody asks for is not held, so it does not count.
    reader.push(b"other{n=\"9\"} 1 1\n").expect("nobody asks for it");
    let error = reader.push(b"up{n=\"9\"} 1 1\n").expect_err("one too many");
    assert!(error.to_string().starts_with("line 11, byte 1: there are more than 3 series"), "{error}");

    let bytes = ReadLimits { series_bytes_max: 20, ..ReadLimits::default() };
    let mut into = recording();
    let mut reader = TextReader::new(Dialect::Prometheus, bytes, None, &mut into);
    reader.push(b"up{n=\"123456789\"} 1 1\n").expect("17 bytes");
    let error = reader.push(b"up{n=\"2\"} 1 1\n").expect_err("more than 20");
    assert!(error.message.contains("or 20 bytes of them"), "{error}");

    let metrics = || BTreeSet::from(["up".to_owned()]);
    let mut into = Recording::new(metrics(), 2, 3);
    let mut reader = TextReader::new(Dialect::Prometheus, ReadLimits::default(), None, &mut into);
    let error = reader.push(b"up 1 1\nup 1 2\nup 1 3\nup 1 4\n").expect_err("four samples");
    assert_eq!(error.to_string(), "line 4, byte 1: there are more than 3 samples");
    let mut into = Recording::new(metrics(), 2, 3);
    let mut reader = CsvReader::new(ReadLimits::default(), calendar, &mut into);
    let error = reader.push(b"time,metric,value,n\n1,up,1,1\n1,up,1,2\n1,up,1,3\n").expect_err("three series");
    assert_eq!(error.to_string(), "line 4, field 2: there are more than 2 series");
}

#[test]
fn a_million_series_are_read_within_the_limit() {
    let mut into = Recording::new(BTreeSet::from(["up".to_owned()]), 1_000_000, 1_000_000);
    let mut reader = TextReader::new(Dialect::Prometheus, ReadLimits::default(), None, &mut into);
    for n in 0..1_000_000 {
        reader.push(format!("up{{n=\"{n}\"}} 1 1\n").as_bytes()).expect("it fits");
    }
    let error = reader.push(b"up{n=\"x\"} 1 1\n").expect_err("one too many");
    assert_eq!(error.to_string(), "line 1000001, byte 1: there are more than 1000000 series");
    assert_eq!((into.series().len(), into.samples()), (1_000_000, 1_000_000));
}

#[test]
fn promtools_notation_is_read() {
    let nothing = || None;
    for (notation, wanted) in [
        ("", vec![]),
        ("  \n ", vec![]),
        ("1 -2.5 +3e2", vec![Some(1.0), Some(-2.5), Some(300.0)]),
        ("_ 1 _x2", vec![nothing(), Some(1.0), nothing(), nothing()]),
        ("_x0 1x0", vec![Some(1.0)]),
        ("1x3", vec![Some(1.0); 4]),
        ("-1x1", vec![Some(-1.0); 2]),
        ("0x2", vec![Some(0.0); 3]),
        ("1+2x3", vec![Some(1.0), Some(3.0), Some(5.0), Some(7.0)]),
        ("1-1x2", vec![Some(1.0), Some(0.0), Some(-1.0)]),
        ("-4+2x2", vec![Some(-4.0), Some(-2.0), Some(0.0)]),
        ("-1-1x1", vec![Some(-1.0), Some(-2.0)]),
        ("1e-3x1", vec![Some(0.001); 2]),
        ("1e1+1e-1x1", vec![Some(10.0), Some(10.1)]),
        ("Inf -Inf", vec![Some(f64::INFINITY), Some(f64::NEG_INFINITY)]),
        (".5\t1.\n", vec![Some(0.5), Some(1.0)]),
    ] {
        assert_eq!(parse_values(notation, 10), Ok(wanted), "{notation}");
    }
    let ended = parse_values("1 stale NaN", 3).expect("it is valid");
    assert_eq!(ended[1].map(f64::to_bits), Some(STALE_BITS));
    assert!(ended[2].is_some_and(|v| v.is_nan() && v.to_bits() != STALE_BITS));
    // Rounded as promtool rounds: added up.
    let added = parse_values("0+0.1x10", 11).expect("it is valid");
    assert_eq!(added[10], Some((0..10).fold(0.0, |sum, _| sum + 0.1)));
}

/// Each notation, its values as we read them: promtool has to find the same at each step, and none where there is none.
#[test]
fn promtool_reads_the_notation_alike() {
    let promtool = std::env::var_os("UNSHIP_PROMTOOL").unwrap_or_else(|| "promtool".into());
    let notations = [
        "1 -2.5 +3e2 1e-3",
        "_ 1 _x2 7",
        "_x0 1x0 2",
        "1x3 _ -1x1",
        "0x2 5",
        "1+2x3",
        "1-1x2 9",
        "-4+2x2",
        "-1-1x1",
        "1e1+1e-1x4",
        "0+0.1x10",
        ".5 1.",
        "10-0.3x6 _ 2",
    ];
    let mut tests = "evaluation_interval: 1m\ntests:\n".to_owned();
    for notation in notations {
        tests.push_str(&format!(
            "- interval: 1m\n  input_series:\n  - series: m\n    values: '{notation}'\n  promql_expr_test:\n"
        ));
        for (minute, value) in parse_values(notation, 100).expect("it is valid").iter().enumerate() {
            // Half a minute: what came a step before is not seen.
            tests.push_str(&format!("  - expr: max_over_time(m[30s])\n    eval_time: {minute}m\n    exp_samples:\n"));
            if let Some(value) = value {
                tests.push_str(&format!("    - value: {value}\n"));
            }
        }
    }
    let dir = tempfile::tempdir().expect("a folder");
    std::fs::write(dir.path().join("tests.yml"), tests).expect("written");
    let mut command = std::process::Command::new(promtool);
    let said = command.args(["test", "rules", "tests.yml"]).current_dir(dir.path()).output().expect("promtool runs");
    let text = String::from_utf8_lossy(&said.stdout).into_owned() + &String::from_utf8_lossy(&said.stderr);
    assert!(said.status.success() && text.contains("SUCCESS"), "{text}");
}

#[test]
fn notation_at_fault_is_told_at_its_place() {
    for (notation, at, wanted) in [
        ("1 2 three", 4..9, "`three` is no number"),
        ("1x", 0..2, "`` is no number of times"),
        ("1x-3", 0..4, "`-3` is no number of times"),
        ("1 2x3.5", 2..7, "`3.5` is no number of times"),
        ("x3", 0..2, "`` is no number"),
        ("1+x3", 0..4, "`+` is no number"),
        ("1+1", 0..3, "how often to add `+1` is not said, as in `x3`"),
        ("stalex3", 0..7, "`stale` cannot be repeated"),
        ("1x1000000000", 0..12, "these are more than 100 values"),
        ("1x98 2 3", 7..8, "these are more than 100 values"),
        ("1x18446744073709551615", 0..22, "too often"),
        ("1x99999999999999999999", 0..22, "x99999999999999999999 is too often"),
        ("1e999", 0..5, "`1e999` is too large for a number"),
        ("\u{1b}[31m", 0..5, "`\\x1b[31m` is no number"),
        ("1 ü", 2..4, "`ü` is no number"),
    ] {
        let error = parse_values(notation, 100).expect_err("it is at fault");
        assert_eq!((error.at, error.message.as_str()), (at, wanted), "{notation}");
    }
}

#[test]
fn a_series_is_read_alone() {
    let series = parse_series("up{job=\"web\", zone=\"a\"}").expect("it is valid");
    assert_eq!((series.metric(), series.labels().len()), ("up", 2));
    assert_eq!(parse_series("up").map(|s| s.labels().len()), Ok(0));
    for (text, at, wanted) in [
        ("", 0, "`` is no metric's name"),
        ("up 1", 2, "` 1` stands behind the series"),
        ("up{a=\"b\"", 2, "the labels have no closing `}`"),
        ("up{a=b}", 5, "`\"` is missing before `b`"),
    ] {
        assert_eq!(parse_series(text), Err((at, wanted.to_owned())), "{text}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn where_chunks_are_cut_does_not_matter(chunk in 1usize..200) {
        let read = text(Dialect::OpenMetrics, OPENMETRICS.as_bytes(), chunk).expect("it is valid");
        prop_assert_eq!(read, OPENMETRICS_READ);
        let table = "time,metric,value,job\n1,up,2,\"a\nb\"\n3,up,4,\n";
        prop_assert_eq!(csv(table.as_bytes(), chunk), csv(table.as_bytes(), 4096));
    }

    #[test]
    fn no_bytes_break_a_reader(data: Vec<u8>, chunk in 1usize..20) {
        let _ = text(Dialect::OpenMetrics, &data, chunk);
        let _ = text(Dialect::Prometheus, &data, chunk);
        let _ = csv(&data, chunk);
        let shown = String::from_utf8_lossy(&data);
        let _ = matrix(&shown);
        let _ = parse_values(&shown, 100);
        let _ = parse_series(&shown);
    }

    #[test]
    fn nothing_like_the_format_breaks_a_reader(data in "(up|a:b|other|\\{|\\}|job=|\"x\"|,|\\\\| |\n|1|-|x|\\+|\\.|e|9|#| EOF|_|stale|\\[|\\]|time|metric|value){0,40}") {
        for chunk in [1, 4096] {
            let _ = text(Dialect::OpenMetrics, data.as_bytes(), chunk);
            let _ = csv(data.as_bytes(), chunk);
        }
        prop_assert!(parse_values(&data, 50).map_or(0, |v| v.len()) <= 50);
        let _ = (parse_series(&data), matrix(&data));
    }

    #[test]
    fn what_was_written_is_read(samples in proptest::collection::vec((0u32..3, 0i64..1_000_000_000_000, any::<f64>()), 0..50)) {
        let mut data = String::new();
        let mut table = "time,metric,value,n\n".to_owned();
        for (n, ms, value) in &samples {
            let seconds = format!("{}.{:03}", ms / 1000, ms % 1000);
            data.push_str(&format!("up{{n=\"{n}\"}} {value} {seconds}\n"));
            table.push_str(&format!("{seconds},up,{value},{n}\n"));
        }
        data.push_str("# EOF\n");
        let mut wanted: Vec<_> = samples.iter().map(|(n, ms, v)| format!("{ms} {v} up{{n=\"{n}\"}}")).collect();
        let mut read = text(Dialect::OpenMetrics, data.as_bytes(), 77).expect("it is valid");
        let mut tabled = csv(table.as_bytes(), 77).expect("it is valid");
        for all in [&mut wanted, &mut read, &mut tabled] {
            all.sort();
        }
        prop_assert_eq!(&read, &wanted);
        prop_assert_eq!(tabled, wanted);
    }
}
