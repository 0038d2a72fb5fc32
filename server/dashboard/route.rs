//! Which request gets which answer. Everything but the style sheet is behind the secret; reading changes nothing, and an action is a POST from
//! our own page.

use super::page::{self, list, system, task};
use super::{Site, Wish, gate};
use crate::journal::{Query, StoreError};
use bytes::Bytes;
use futures_util::stream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Body as _, Frame, Incoming};
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use maud::Markup;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

pub(super) type Body = UnsyncBoxBody<Bytes, Infallible>;

/// Bytes a request may bring along; ours bring the name of a button.
const BODY: u64 = 4096;
/// Characters of one search.
const SEARCH: usize = 200;
/// How often a stream that has nothing to say shows that it is still there.
const BEAT: Duration = Duration::from_secs(15);
/// Only our own files; no script or style in the page, no frame around it, no address of it to others.
const HEADERS: [(HeaderName, &str); 8] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
         form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "same-origin"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::CACHE_CONTROL, "no-store"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("permissions-policy"), "camera=(), microphone=(), geolocation=()"),
];

const HTML: &str = "text/html; charset=utf-8";

pub(super) async fn answer(site: &Arc<Site>, request: Request<Incoming>) -> Response<Body> {
    site.touch();
    let mut answer = match refusal(&request) {
        Some((status, why)) => whole(status, HTML, page::closed("Not here", why).into_string()),
        None => route(site, &request).await,
    };
    for (name, value) in HEADERS {
        answer.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    if request.method() == Method::HEAD {
        *answer.body_mut() = full(String::new());
    }
    answer
}

/// Why a request is not looked at any further.
fn refusal(request: &Request<Incoming>) -> Option<(StatusCode, &'static str)> {
    let acts = request.method() == Method::POST;
    if !gate::is_for_us(request.uri(), request.headers()) {
        return Some((StatusCode::MISDIRECTED_REQUEST, "This address belongs to another name."));
    }
    if !gate::is_from_us(request.headers(), acts) {
        return Some((StatusCode::FORBIDDEN, "Another page asked for this."));
    }
    if request.body().size_hint().upper().is_none_or(|bytes| bytes > BODY) {
        return Some((StatusCode::PAYLOAD_TOO_LARGE, "That is too much."));
    }
    let known = matches!(*request.method(), Method::GET | Method::HEAD | Method::POST);
    (!known).then_some((StatusCode::METHOD_NOT_ALLOWED, "This page is only read."))
}

async fn route(site: &Arc<Site>, request: &Request<Incoming>) -> Response<Body> {
    let path = request.uri().path().trim_start_matches('/');
    let query = request.uri().query().unwrap_or_default();
    let (secret, rest) = path.split_once('/').unwrap_or((path, ""));
    let acts = request.method() == Method::POST;
    if path.is_empty() && request.method() == Method::GET {
        return enter(site, query);
    }
    // It says nothing of anyone, and those who may see nothing else read better with it.
    if path == "style.css" || rest == "style.css" {
        return whole(StatusCode::OK, "text/css; charset=utf-8", page::STYLE);
    }
    if !site.gate.knows(secret) {
        return closed();
    }
    let parts: Vec<&str> = rest.split('/').collect();
    match (acts, parts.as_slice()) {
        (false, [""]) if path.contains('/') => first(site, query).await,
        (false, ["task", id]) => one(site, id).await,
        (false, ["system"]) => {
            let facts = system::Facts::gather((site.desk.loaded)(), &*site.desk.store).await;
            shown(&page::frame("", "system", "System", &system::system(&facts)))
        }
        (false, ["live"]) => live(site),
        (false, ["live.js"]) => whole(StatusCode::OK, "text/javascript; charset=utf-8", page::SCRIPT),
        (false, ["icon.svg"]) => whole(StatusCode::OK, "image/svg+xml", page::ICON),
        (true, ["task", id, wish]) => act(site, id, wish).await,
        _ => missing(),
    }
}

/// Trades a ticket for the address with the secret.
fn enter(site: &Site, query: &str) -> Response<Body> {
    let ticket = url::form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "ticket");
    match ticket {
        Some((_, ticket)) if site.gate.admits(&ticket) => moved(&format!("{}/", site.gate.secret())),
        _ => closed(),
    }
}

fn closed() -> Response<Body> {
    let text = "This link was used, is too old, or its server has ended. \
                Open the dashboard again: the command opendevagent.dashboard of your editor, or `opendevagent dashboard` in a shell.";
    whole(StatusCode::FORBIDDEN, HTML, page::closed("This link is no longer good", text).into_string())
}

fn missing() -> Response<Body> {
    whole(
        StatusCode::NOT_FOUND,
        HTML,
        page::closed("Not found", "There is no such page or task.").into_string(),
    )
}

async fn first(site: &Site, query: &str) -> Response<Body> {
    let query = asked(query);
    let running = Query { phase: Some("running".into()), before: None, limit: list::ROWS, ..query.clone() };
    let store = &site.desk.store;
    match tokio::join!(store.list(&running), store.list(&query)) {
        (Ok(running), Ok(mut rows)) => {
            let older = rows.len() > list::ROWS;
            rows.truncate(list::ROWS);
            // What runs stands above already.
            rows.retain(|row| !row.is_running());
            shown(&page::frame("", "", "Tasks", &list::list(&query, &running, &rows, older)))
        }
        (Err(error), _) | (_, Err(error)) => broken(&error),
    }
}

/// The search in an address. One more than a page shows is asked for: then there are older ones.
fn asked(query: &str) -> Query {
    let mut asked = Query { limit: list::ROWS + 1, ..Query::default() };
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()).filter(|(_, value)| !value.is_empty())
    {
        let value: String = value.chars().take(SEARCH).collect();
        match &*name {
            "q" => asked.text = value,
            "action" => asked.action = Some(value),
            "phase" => asked.phase = Some(value),
            "before" => asked.before = Some(value),
            _ => {}
        }
    }
    asked
}

async fn one(site: &Site, id: &str) -> Response<Body> {
    match site.desk.store.task(id).await {
        Ok(record) => {
            let said = site.said(&record.row.id);
            let page = task::task(&record, &site.desk.wishes(&record.row), said.as_ref());
            shown(&page::frame("../", "", &record.row.title, &page))
        }
        Err(StoreError::Unknown(_) | StoreError::Ambiguous { .. }) => missing(),
        Err(error) => broken(&error),
    }
}

fn broken(error: &StoreError) -> Response<Body> {
    let page = page::closed("The tasks cannot be read", &error.to_string());
    whole(StatusCode::INTERNAL_SERVER_ERROR, HTML, page.into_string())
}

/// Does what a button says, then shows the task again.
async fn act(site: &Site, id: &str, wish: &str) -> Response<Body> {
    let Some(wish) = Wish::ALL.into_iter().find(|known| known.name() == wish) else { return missing() };
    let row = site.desk.store.task(id).await.map(|record| record.row);
    if !row.is_ok_and(|row| row.id == id && site.desk.wishes(&row).contains(&wish)) {
        let text = "The task is over, its proposal is settled, or it belongs to another program. Go back to see how it stands.";
        return whole(
            StatusCode::CONFLICT,
            HTML,
            page::closed("That is not to be done now", text).into_string(),
        );
    }
    (site.desk.act)(wish, id.to_owned()).await;
    moved(&format!("../{id}"))
}

/// A stream that says that something has changed, so that the page is fetched anew. It tells nothing else.
fn live(site: &Arc<Site>) -> Response<Body> {
    let begin = stream::once(async { Ok(Frame::data(Bytes::from_static(b"retry: 1000\n\n"))) });
    let changes = stream::unfold(site.watch(), |mut watch| async {
        let piece = match tokio::time::timeout(BEAT, watch.changed()).await {
            Ok(true) => "data:\n\n",
            Ok(false) => return None,
            Err(_) => ":\n\n",
        };
        Some((Ok(Frame::data(Bytes::from_static(piece.as_bytes()))), watch))
    });
    let stream = futures_util::StreamExt::chain(begin, changes);
    respond(StatusCode::OK, "text/event-stream", StreamBody::new(stream).boxed_unsync())
}

fn shown(page: &Markup) -> Response<Body> {
    whole(StatusCode::OK, HTML, page.0.clone())
}

fn moved(to: &str) -> Response<Body> {
    let mut answer = whole(StatusCode::SEE_OTHER, HTML, String::new());
    if let Ok(to) = HeaderValue::from_str(to) {
        answer.headers_mut().insert(header::LOCATION, to);
    }
    answer
}

fn whole(status: StatusCode, kind: &'static str, text: impl Into<Bytes>) -> Response<Body> {
    respond(status, kind, full(text))
}

fn full(text: impl Into<Bytes>) -> Body {
    Full::new(text.into()).boxed_unsync()
}

fn respond(status: StatusCode, kind: &'static str, body: Body) -> Response<Body> {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    answer
}
