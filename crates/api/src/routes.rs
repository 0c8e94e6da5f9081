//! All calls, by the scope they need. What a group demands is enforced and documented in the same place, so that neither can
//! be forgotten.

use axum::{Router, middleware};
use sincro_store::access::Scope;
use utoipa::openapi::{
    OpenApi,
    path::{Operation, PathItem},
    security::SecurityRequirement,
};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    auth, body, channels, health, hooks, limits, messages, metrics, observe, openapi, params, scaling, state::App,
    syncs,
};

/// Calls and the scope that all of them need; none lets everybody in.
type Group = (Option<Scope>, OpenApiRouter<App>);

fn groups() -> [Group; 5] {
    [
        (None, OpenApiRouter::new().routes(routes!(health::alive)).routes(routes!(health::ready))),
        // Gateways have no key: the address is a secret, and the channel may have another one.
        (None, OpenApiRouter::new().routes(routes!(hooks::take, hooks::answer))),
        (Some(Scope::Read), reading()),
        (Some(Scope::Enqueue), enqueueing()),
        (Some(Scope::Admin), administering()),
    ]
}

fn reading() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(channels::list::list))
        .routes(routes!(channels::show::show))
        .routes(routes!(channels::check::show))
        .routes(routes!(limits::show::show))
        .routes(routes!(limits::changes::changes))
        .routes(routes!(messages::messages))
        .routes(routes!(scaling::show))
        .routes(routes!(syncs::list::list))
        .routes(routes!(syncs::show::show))
        .routes(routes!(syncs::jobs::jobs))
        .routes(routes!(syncs::receipt::receipt))
        .routes(routes!(syncs::events::events))
        .routes(routes!(metrics::render))
        .routes(routes!(openapi::serve))
}

fn enqueueing() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(syncs::start::start))
        .routes(routes!(syncs::plan::plan))
        .routes(routes!(syncs::start_contact::start_contact))
        .routes(routes!(syncs::resync::resync))
        .routes(routes!(syncs::media::fetch))
        .routes(routes!(channels::check::check))
        .routes(routes!(syncs::steer::pause))
        .routes(routes!(syncs::steer::resume))
        .routes(routes!(syncs::steer::cancel))
        .routes(routes!(syncs::steer::retry))
}

fn administering() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(channels::create::create))
        .routes(routes!(channels::change::change, channels::delete::delete))
        .routes(routes!(channels::pause::pause))
        .routes(routes!(channels::pause::resume))
        .routes(routes!(channels::allow::allow))
        .routes(routes!(channels::check::connect))
        .routes(routes!(limits::replace::replace))
}

/// What a process that only works can be asked.
fn process_groups() -> [Group; 2] {
    let [health, ..] = groups();
    [health, (Some(Scope::Read), OpenApiRouter::new().routes(routes!(metrics::render)))]
}

/// The router that serves all calls.
pub(crate) fn router(app: App) -> Router {
    serve(groups(), app)
}

/// The router that serves the calls about the process.
pub(crate) fn process_router(app: App) -> Router {
    serve(process_groups(), app)
}

fn serve(groups: impl IntoIterator<Item = Group>, app: App) -> Router {
    let mut all = OpenApiRouter::new();
    for (scope, group) in groups {
        let group = match scope {
            // Whoever may not ask is not told what could be asked: the key comes first.
            Some(scope) => {
                let without = params::Without::of(group.get_openapi());
                group
                    .route_layer(middleware::from_fn_with_state(app.clone(), body::one_by_one))
                    .route_layer(middleware::from_fn_with_state(without, params::refuse_unknown))
                    .route_layer(middleware::from_fn_with_state((app.clone(), scope), auth::require))
            }
            None => group,
        };
        all = all.merge(group);
    }
    let (router, _) = all.split_for_parts();
    observe::observed(router.with_state(app))
}

/// The description of all calls.
pub(crate) fn described() -> OpenApi {
    let mut document = openapi::frame();
    for (scope, group) in groups() {
        let mut described = group.into_openapi();
        if let Some(scope) = scope {
            let needs = SecurityRequirement::new(openapi::KEY_SCHEME, [scope.as_str()]);
            for operation in described.paths.paths.values_mut().flat_map(operations) {
                operation.security = Some(vec![needs.clone()]);
            }
        }
        document.merge(described);
    }
    openapi::refer_in_lists(&mut document);
    document
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut item.get, &mut item.put, &mut item.post, &mut item.delete, &mut item.patch].into_iter().flatten()
}
