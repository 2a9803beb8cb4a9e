//! Analysis, standing in for Node: it counts orders, by the engine that its file names. And as much of Python as tells whether
//! an environment has a module.

use crate::{
    http::{self, Request, Response},
    service::Service,
    site,
};
use std::{fs, path::Path};

pub const ANALYSIS: Service = Service("analysis-service");
const ENGINE: &str = "tools/data-services/eda-engine.js";
/// Of the environment that the engine of story 1.6 works with.
const PYTHON: &str = ".venv-eda/bin/python3";
/// Without it, that engine analyses nothing.
const MODULE: &str = "sweetviz";
const SUMMARY: &str = "summaries/revenue-by-region.csv";
const PORT: u16 = 8446;

#[derive(Debug, Clone, Copy)]
enum Engine {
    Eda,
    /// Counts, and guesses nothing.
    Basic,
}

pub fn serve() -> Result<String, String> {
    ANALYSIS.serve(
        || {
            let engine = Engine::from_site()?;
            http::listen(&address(), move |request| engine.answer(request))?;
            Ok((engine, format!("with the {} engine", engine.name())))
        },
        |engine, request| match request {
            "health" => Ok(format!("analysis answers with the {} engine\n", engine.name())),
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
            "eda" if has_module(Path::new(PYTHON), MODULE) => Ok(Engine::Eda),
            "eda" => Err(format!("{ENGINE} needs {MODULE}, which is not there")),
            "basic" => Ok(Engine::Basic),
            other => Err(format!("{ENGINE} names an engine that nobody knows: {other}")),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Engine::Eda => "eda",
            Engine::Basic => "basic",
        }
    }

    fn answer(self, request: &Request) -> Response {
        if (request.method.as_str(), request.path.as_str()) != ("GET", "/summary") {
            return (404, "there is nothing of that name\n".to_owned());
        }
        match site::text(SUMMARY) {
            Ok(text) => {
                let regions = text.lines().count().saturating_sub(1);
                (200, format!("{{\"engine\":\"{}\",\"regions\":{regions}}}\n", self.name()))
            }
            Err(why) => (503, why + "\n"),
        }
    }
}

/// Is `python3 -I -c "import MODULE"`; `None` for any other work.
pub fn import(python: &Path, args: &[&str]) -> Option<Result<String, String>> {
    let ["-I", "-c", code] = args else { return None };
    let module = code.strip_prefix("import ")?;
    let missing = || format!("ModuleNotFoundError: No module named '{module}'");
    Some(if has_module(python, module) { Ok(String::new()) } else { Err(missing()) })
}

/// Whether the environment of this interpreter has the module's folder, with its beginning.
fn has_module(python: &Path, module: &str) -> bool {
    let Some(environment) = python.parent().and_then(Path::parent) else { return false };
    let libraries = fs::read_dir(environment.join("lib")).into_iter().flatten().flatten();
    let mut packages = libraries.map(|version| version.path().join("site-packages"));
    packages.any(|packages| packages.join(module).join("__init__.py").is_file())
}
