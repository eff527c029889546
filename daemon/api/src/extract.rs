//! Reads paths and queries, with our own error documents.

use argus_schema::EntityName;
use axum::extract::{FromRequestParts, Path, Query};
use http::request::Parts;
use serde::de::DeserializeOwned;

use crate::problem::Problem;

/// The query string.
pub(crate) struct Params<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Query::<T>::try_from_uri(&parts.uri)
            .map(|Query(params)| Self(params))
            .map_err(|error| Problem::bad_request("bad_query", error.body_text()))
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
