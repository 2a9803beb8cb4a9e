//! The core services in one process, standing in for Node: it transforms rows, and keeps a run of dbt going while story
//! 1.4's flag is on.

use crate::{
    service::Service,
    site,
    worker::{DBT_RUN, Worker},
    yaml,
};

pub const CORE: Service = Service("core");
const CONFIG: &str = "core-config.yaml";
const ENGINE: &str = "tools/data-services/transformation-engine.js";

pub fn serve() -> Result<String, String> {
    CORE.serve(
        || {
            let config = site::text(CONFIG)?;
            let sessions = yaml::scalar(&config, &["security", "sessions"]).unwrap_or("none");
            let engine = match site::named_in(ENGINE, "engine")?.as_str() {
                "dbt" => {
                    Worker::keep(DBT_RUN)?;
                    "dbt"
                }
                "simple" => "simple",
                other => return Err(format!("{ENGINE} names an engine that nobody knows: {other}")),
            };
            let what = format!("core transforms with the {engine} engine; sessions in {sessions}");
            Ok((what.clone(), what))
        },
        |what, request| match request {
            "health" => Ok(format!("{what}\n")),
            _ => Err("no such request".into()),
        },
    )
}
