//! Ingestion, standing in for Node: it keeps a connector running while story 1.2's flag is on, and answers by HTTP.

use crate::{
    http::{self, Request, Response},
    service::Service,
    site,
    worker::{CONNECTOR, Worker},
};
use std::path::Path;

pub const INGESTION: Service = Service("ingestion");
const ENGINE: &str = "tools/data-services/data-ingestion-service.js";
const PORT: u16 = 8444;

#[derive(Debug, Clone, Copy)]
enum Engine {
    PyAirbyte,
    /// Accepts nothing, and says so.
    Stub,
}

pub fn serve() -> Result<String, String> {
    INGESTION.serve(
        || {
            let engine = Engine::from_site()?;
            http::listen(&address(), move |request| engine.answer(request))?;
            if let Engine::PyAirbyte = engine {
                Worker::keep(CONNECTOR)?;
            }
            Ok((engine, format!("with {}", engine.name())))
        },
        |engine, request| match request {
            "health" => Ok(format!("ingestion answers with {}\n", engine.name())),
            _ => Err("no such request".into()),
        },
    )
}

/// Where it listens.
pub fn address() -> String {
    format!("{}:{PORT}", site::host())
}

impl Engine {
    fn from_site() -> Result<Engine, String> {
        match site::named_in(ENGINE, "engine")?.as_str() {
            "pyairbyte" if Path::new(CONNECTOR.needs).exists() => Ok(Engine::PyAirbyte),
            "pyairbyte" => Err(format!("{ENGINE} needs {}, which is not there", CONNECTOR.needs)),
            "stub" => Ok(Engine::Stub),
            other => Err(format!("{ENGINE} names an engine that nobody knows: {other}")),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Engine::PyAirbyte => "pyairbyte",
            Engine::Stub => "stub",
        }
    }

    fn answer(self, request: &Request) -> Response {
        let is_open = matches!(self, Engine::PyAirbyte) && site::flag_is_on(CONNECTOR.flag);
        match (request.method.as_str(), request.path.as_str()) {
            ("GET", "/status") => (200, format!("{{\"engine\":\"{}\",\"accepting\":{is_open}}}\n", self.name())),
            ("GET", "/connectors") if is_open => (200, "[\"orders\"]\n".to_owned()),
            ("GET", "/connectors") => (503, "ingestion is switched off\n".to_owned()),
            _ => (404, "there is nothing of that name\n".to_owned()),
        }
    }
}
