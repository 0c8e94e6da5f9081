//! Calls that take no query parameters refuse all of them, as the others refuse those they do not know.
//!
//! Which calls these are is read from their description, so that a new one cannot be forgotten.

use std::{collections::BTreeSet, sync::Arc};

use axum::{
    extract::{MatchedPath, Request, State},
    http::Method,
    middleware::Next,
    response::Response,
};
use utoipa::openapi::{
    OpenApi, RefOr,
    path::{Operation, Parameter, ParameterIn},
};

use super::Params;
use crate::problem::Problem;

/// The calls of a group that take no query parameters.
#[derive(Debug, Clone)]
pub(crate) struct Without(Arc<BTreeSet<(Method, String)>>);

impl Without {
    /// The calls that are described without any.
    pub(crate) fn of(described: &OpenApi) -> Self {
        let calls = described.paths.paths.iter().flat_map(|(path, item)| {
            let operations = [
                (Method::GET, &item.get),
                (Method::HEAD, &item.get),
                (Method::PUT, &item.put),
                (Method::POST, &item.post),
                (Method::DELETE, &item.delete),
                (Method::PATCH, &item.patch),
            ];
            let without = operations.into_iter().filter(|(_, call)| call.as_ref().is_some_and(takes_none));
            without.map(|(method, _)| (method, path.clone()))
        });
        Self(Arc::new(calls.collect()))
    }
}

fn takes_none(call: &Operation) -> bool {
    // A reference may lead to a query parameter, for all that can be seen here.
    let may_be_query = |parameter: &RefOr<Parameter>| match parameter {
        RefOr::T(parameter) => parameter.parameter_in == ParameterIn::Query,
        RefOr::Ref(_) => true,
    };
    !call.parameters.iter().flatten().any(may_be_query)
}

/// Refuses a query where none is taken.
pub(crate) async fn refuse_unknown(
    State(Without(calls)): State<Without>,
    path: MatchedPath,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    if request.uri().query().is_some() && calls.contains(&(request.method().clone(), path.as_str().to_owned())) {
        Params::read(request.uri(), &[])?;
    }
    Ok(next.run(request).await)
}

#[cfg(test)]
mod tests {
    use axum::{Router, body::Body, middleware, routing::get};
    use tower::ServiceExt as _;

    use super::*;
    use crate::routes;

    #[tokio::test]
    async fn a_query_is_refused_where_none_is_taken_and_left_to_the_call_elsewhere() {
        let router = Router::new()
            .route("/v1/syncs/{sync_id}", get(async || ()))
            .route("/v1/syncs", get(async || ()))
            .route_layer(middleware::from_fn_with_state(Without::of(&routes::described()), refuse_unknown));
        for (path, status) in [
            ("/v1/syncs/7", 200),
            ("/v1/syncs/7?", 200),
            ("/v1/syncs/7?x=1", 422),
            ("/v1/syncs/7?x", 422),
            ("/v1/syncs?x=1", 200),
        ] {
            let response = router.clone().oneshot(Request::get(path).body(Body::empty()).unwrap()).await.unwrap();
            assert_eq!(response.status(), status, "{path}");
        }
    }

    #[test]
    fn a_call_that_takes_parameters_is_told_from_one_that_does_not() {
        let Without(calls) = Without::of(&routes::described());
        let takes_none = |method: Method, path: &str| calls.contains(&(method, path.to_owned()));
        assert!(takes_none(Method::POST, "/v1/channels") && !takes_none(Method::GET, "/v1/channels"));
        assert!(takes_none(Method::HEAD, "/v1/scaling") && takes_none(Method::PUT, "/v1/limits"));
        assert!(!takes_none(Method::GET, "/v1/limits/changes"));
    }
}
