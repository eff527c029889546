//! Reads paths and queries, with our own error documents.

use argus_schema::EntityName;
use axum::extract::{FromRequestParts, Path, Query};
use http::request::Parts;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use utoipa::IntoParams;
use utoipa::openapi::path::{Parameter, ParameterIn};

use crate::problem::Problem;

/// The query string. It may hold what the API description lists for `T`, each once; a filter that is misspelt would
/// otherwise look like one that everything passes.
pub(crate) struct Params<T>(pub T);

impl<T: DeserializeOwned + IntoParams, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let Query(pairs) =
            Query::<Vec<(String, String)>>::try_from_uri(&parts.uri).map_err(|_| {
                Problem::bad_request("bad_query", "the query is not of the form `name=value`")
            })?;
        let known = T::into_params(|| None);
        let mut query = Map::new();
        for (name, value) in pairs {
            if !known.iter().any(|parameter| parameter.name == name) {
                return Err(unknown_parameter(&name, &known));
            }
            let detail = format!("the parameter `{name}` is given more than once");
            if query.insert(name, Value::String(value)).is_some() {
                return Err(Problem::bad_request("bad_query", detail));
            }
        }
        serde_json::from_value(Value::Object(query))
            .map(Self)
            .map_err(|error| Problem::bad_request("bad_query", error.to_string()))
    }
}

fn unknown_parameter(name: &str, known: &[Parameter]) -> Problem {
    let name: String = name.chars().take(40).collect();
    let names: Vec<&str> = known.iter().map(|parameter| &*parameter.name).collect();
    let detail = if names.is_empty() {
        format!("there is no parameter `{name}`; this takes none")
    } else {
        format!(
            "there is no parameter `{name}`; there are {}",
            names.join(", ")
        )
    };
    Problem::bad_request("unknown_parameter", detail)
}

/// The query of what takes none.
#[derive(Debug, Deserialize)]
pub(crate) struct NoParams {}

impl IntoParams for NoParams {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        Vec::new()
    }
}

/// The name of a server in the path.
pub(crate) struct ServerName(pub EntityName);

impl<S: Send + Sync> FromRequestParts<S> for ServerName {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path(text) = Path::<String>::from_request_parts(parts, state)
            .await
            .map_err(|error| Problem::bad_request("bad_path", error.body_text()))?;
        let name = EntityName::new(&text).map_err(|error| {
            Problem::bad_request("bad_server_name", format!("the server name {error}"))
        })?;
        Ok(Self(name))
    }
}
