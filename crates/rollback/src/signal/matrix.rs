//! Reads what Prometheus answers to a range query: `{"status": "success", "data": {"resultType": "matrix", "result": […]}}`,
//! or the list of results alone, as `promtool query range -o json` prints it.
//!
//! It goes over any serde deserializer, element by element, and keeps none. A text or number of any length would be held
//! whole by the deserializer, so whoever opens the file bounds those ([`TokenLimit`]).

use super::{
    Sample, Series, Sink, is_metric_name,
    read::{add_label, from_seconds, shown, value},
};
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::{collections::BTreeMap, fmt};

/// Reads an answer into `sink`.
///
/// # Errors
///
/// The first thing that is not of the format, with its place as the deserializer tells it; an answer that is an error
/// itself; a series or sample too many. What was read before it is in the sink.
pub fn read_matrix<'de, D: Deserializer<'de>, S: Sink>(json: D, sink: &mut S) -> Result<(), D::Error> {
    json.deserialize_any(Top(sink))
}

/// Bounds the texts and numbers of a JSON stream before anybody holds one: fed with the bytes as they are read.
#[derive(Debug)]
pub struct TokenLimit {
    bytes_max: usize,
    length: usize,
    quoted: bool,
    escaped: bool,
}

impl TokenLimit {
    /// At most so many bytes a token.
    pub fn new(bytes_max: usize) -> TokenLimit {
        TokenLimit { bytes_max, length: 0, quoted: false, escaped: false }
    }

    /// Looks at the next bytes of the stream.
    ///
    /// # Errors
    ///
    /// A token of it is too long.
    pub fn check(&mut self, bytes: &[u8]) -> Result<(), String> {
        for b in bytes {
            self.length += 1;
            match b {
                _ if self.escaped => self.escaped = false,
                b'\\' if self.quoted => self.escaped = true,
                b'"' => {
                    self.quoted = !self.quoted;
                    self.length = 0;
                }
                b',' | b':' | b'[' | b']' | b'{' | b'}' | b' ' | b'\t' | b'\r' | b'\n' if !self.quoted => {
                    self.length = 0;
                }
                _ => {}
            }
            if self.length > self.bytes_max {
                return Err(format!("a text or number has more than {} bytes", self.bytes_max));
            }
        }
        Ok(())
    }
}

/// A seed that is its own visitor.
macro_rules! seed {
    ($name:ident, $method:ident) => {
        struct $name<'a, S>(&'a mut S);
        impl<'de, S: Sink> DeserializeSeed<'de> for $name<'_, S> {
            type Value = ();
            fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
                json.$method(self)
            }
        }
    };
}

/// It borrows where the samples go; so does each level below it from the one above.
struct Top<'a, S>(&'a mut S);
seed!(Data, deserialize_map);
seed!(Results, deserialize_seq);
seed!(Row, deserialize_map);

impl<'de, S: Sink> Visitor<'de> for Top<'_, S> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the answer to a range query")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<(), A::Error> {
        Results(self.0).visit_seq(seq)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut has_data = false;
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "status" => {
                    let status: String = map.next_value()?;
                    if status != "success" {
                        return Err(A::Error::custom(format!("its status is {}", shown(status.as_bytes()))));
                    }
                }
                "data" => {
                    map.next_value_seed(Data(&mut *self.0))?;
                    has_data = true;
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        if has_data { Ok(()) } else { Err(A::Error::missing_field("data")) }
    }
}

impl<'de, S: Sink> Visitor<'de> for Data<'_, S> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with `resultType` and `result`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut has_result = false;
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "resultType" => {
                    let kind: String = map.next_value()?;
                    if kind != "matrix" {
                        let message = format!("it is a {}, not the matrix of a range query", shown(kind.as_bytes()));
                        return Err(A::Error::custom(message));
                    }
                }
                "result" => {
                    map.next_value_seed(Results(&mut *self.0))?;
                    has_result = true;
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        if has_result { Ok(()) } else { Err(A::Error::missing_field("result")) }
    }
}

impl<'de, S: Sink> Visitor<'de> for Results<'_, S> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of series")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element_seed(Row(&mut *self.0))?.is_some() {}
        Ok(())
    }
}

impl<'de, S: Sink> Visitor<'de> for Row<'_, S> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with `metric` and `values`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let sink = self.0;
        // `None`: no `metric` came yet. `Some(None)`: nobody asks for it.
        let mut key = None;
        while let Some(name) = map.next_key::<String>()? {
            match name.as_str() {
                "metric" => {
                    let series = map.next_value_seed(Labels)?;
                    key = Some(if sink.wants(series.metric()) {
                        sink.series(&series).map_err(A::Error::custom)?
                    } else {
                        None
                    });
                }
                "values" => {
                    let key = key.ok_or_else(|| A::Error::custom("`values` comes before `metric`"))?;
                    map.next_value_seed(Values { key, sink })?;
                }
                other => {
                    let message = format!("{} is none of `metric` and `values`", shown(other.as_bytes()));
                    return Err(A::Error::custom(message));
                }
            }
        }
        if key.is_some() { Ok(()) } else { Err(A::Error::missing_field("metric")) }
    }
}

struct Labels;

impl<'de> DeserializeSeed<'de> for Labels {
    type Value = Series;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Series, D::Error> {
        json.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Labels {
    type Value = Series;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of labels")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Series, A::Error> {
        let (mut metric, mut labels) = (None, BTreeMap::new());
        while let Some((name, value)) = map.next_entry::<String, String>()? {
            if name != "__name__" {
                add_label(&mut labels, &name, value).map_err(A::Error::custom)?;
            } else if is_metric_name(&value) {
                metric = Some(value);
            } else {
                return Err(A::Error::custom(format!("{} is no metric's name", shown(value.as_bytes()))));
            }
        }
        let metric = metric.ok_or_else(|| {
            A::Error::custom("a series has no `__name__`: record the metric itself, not an expression over it")
        })?;
        Series::new(metric, labels).map_err(A::Error::custom)
    }
}

struct Values<'a, S: Sink> {
    key: Option<S::Key>,
    sink: &'a mut S,
}

impl<'de, S: Sink> DeserializeSeed<'de> for Values<'_, S> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_seq(self)
    }
}

impl<'de, S: Sink> Visitor<'de> for Values<'_, S> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of `[time, \"value\"]`")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while let Some((at, text)) = seq.next_element::<(f64, String)>()? {
            let at = from_seconds(at).map_err(A::Error::custom)?;
            let value = value(&text).map_err(A::Error::custom)?;
            if let Some(key) = self.key {
                self.sink.sample(key, Sample { at, value }).map_err(A::Error::custom)?;
            }
        }
        Ok(())
    }
}
