//! The loop between the wire and the handlers: in order, never waiting for a handler, over at `exit`.
//!
//! tower-lsp's own loop ends at the first bad message and runs handlers in no fixed order once they wait.
//! Here each handler runs up to its first wait before the next message is read. Handlers change the session
//! before they wait, so changes happen in the order of the wire.

use super::Server;
use super::framing::{Frames, Incoming};
use super::newer::Answer;
use futures_util::future::FutureExt;
use futures_util::{SinkExt, Stream, StreamExt};
use serde::Serialize;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tower_lsp::jsonrpc::{Error, ErrorCode, Request, Response};
use tower_lsp::{ClientSocket, LspService};
use tower_service::Service;

/// Answers that may wait for a client that does not read, and their KiB; then no more of its messages are read.
const ANSWERS: usize = 1024;
const ANSWERS_KIB: u32 = 64 << 10;
/// Requests that may be under way at once; further ones that cannot be answered at once are refused.
const CALLS: usize = 1024;
/// `RequestFailed` (LSP 3.17).
const REQUEST_FAILED: i64 = -32803;
/// How long a client has to take the last answers after `exit`.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Serves until `exit`, the end of the input, or `gone`. True when a `shutdown` came before `exit`.
pub(super) async fn run<R, W>(
    input: R,
    output: W,
    mut service: LspService<Server>,
    socket: ClientSocket,
    gone: CancellationToken,
) -> bool
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin + Send + 'static,
{
    let (requests, mut replies) = socket.split();
    let (answers, outgoing) = Answers::new();
    let calls = Arc::new(Semaphore::new(CALLS));
    let writer = tokio::spawn(write(output, outgoing, requests));
    let mut frames = Frames::new(input);
    let (mut shut_down, mut exit) = (false, false);
    while !exit && !answers.slots.is_closed() {
        let incoming = tokio::select! {
            incoming = frames.next() => incoming,
            () = gone.cancelled() => None,
        };
        if frames.has_lost_edit() {
            service.inner().doubt(None);
        }
        let answer = match incoming {
            None => break,
            Some(Incoming::Refused(refusal)) => Some(refusal),
            Some(Incoming::Response(reply)) => {
                // Fails only after `exit`, when nobody waits for replies any more.
                let _ = replies.send(reply).await;
                None
            }
            Some(Incoming::Request(request)) => {
                shut_down |= request.method() == "shutdown";
                exit = request.method() == "exit";
                let request = match request.method() {
                    "initialize" => service.inner().introduce(request),
                    _ => request,
                };
                let edits = matches!(request.method(), "textDocument/didOpen" | "textDocument/didChange");
                let edited = if edits { document(&request) } else { None };
                let taken = service.inner().edits.load(Ordering::Relaxed);
                let answer = handle(&mut service, request, &answers, &calls);
                if edits && service.inner().edits.load(Ordering::Relaxed) == taken {
                    service.inner().doubt(edited.as_deref());
                }
                answer
            }
        };
        if let Some(answer) = answer {
            tokio::select! {
                () = answers.send(&answer) => {}
                () = gone.cancelled() => break,
            }
        }
    }
    drop(answers);
    let _ = tokio::time::timeout(LAST_WORDS, writer).await;
    exit && shut_down
}

/// The URI of the document that a message is about, if it can be read.
fn document(request: &Request) -> Option<String> {
    Some(request.params()?.get("textDocument")?.get("uri")?.as_str()?.to_owned())
}

/// Runs a handler up to its first wait. The answer, unless it has to be waited for.
fn handle(
    service: &mut LspService<Server>,
    request: Request,
    answers: &Answers,
    calls: &Arc<Semaphore>,
) -> Option<Response> {
    let id = request.id().cloned();
    let asked = id.clone();
    let lacking = Answer::to(request.method()).map(|answer| (answer, service.inner().clone()));
    let mut call = Box::pin(AssertUnwindSafe(service.call(request)).catch_unwind().map(move |outcome| {
        let id = id?;
        match outcome {
            Ok(Ok(Some(response))) => Some(match lacking {
                Some((answer, server)) => server.complete(answer, response),
                None => response,
            }),
            // tower-lsp answers nothing to an unknown `$/` method, but a request wants an answer.
            Ok(_) => Some(Response::from_error(id, Error::method_not_found())),
            Err(_) => Some(Response::from_error(id, Error::internal_error())),
        }
    }));
    if let Some(answer) = (&mut call).now_or_never() {
        return answer;
    }
    let Ok(under_way) = calls.clone().try_acquire_owned() else {
        return asked.map(|id| Response::from_error(id, too_many()));
    };
    let answers = answers.clone();
    tokio::spawn(async move {
        if let Some(answer) = call.await {
            answers.send(&answer).await;
        }
        drop(under_way);
    });
    None
}

fn too_many() -> Error {
    let code = ErrorCode::ServerError(REQUEST_FAILED);
    let message = format!("{CALLS} requests are under way; ask again when some are answered").into();
    Error { code, message, data: None }
}

/// Encoded answers on their way to the writer, each with its share of the room.
#[derive(Clone)]
struct Answers {
    slots: mpsc::Sender<Encoded>,
    room: Arc<Semaphore>,
}

type Encoded = (Vec<u8>, Option<OwnedSemaphorePermit>);

impl Answers {
    fn new() -> (Self, mpsc::Receiver<Encoded>) {
        let (slots, outgoing) = mpsc::channel(ANSWERS);
        (Self { slots, room: Arc::new(Semaphore::new(ANSWERS_KIB as usize)) }, outgoing)
    }

    /// Waits for room. Does nothing once the client has closed its end, or the loop is over.
    async fn send(&self, answer: &Response) {
        let body = encode(answer);
        let kib = u32::try_from(body.len() >> 10).unwrap_or(u32::MAX).min(ANSWERS_KIB);
        let share = tokio::select! {
            share = self.room.clone().acquire_many_owned(kib) => share.ok(),
            () = self.slots.closed() => return,
        };
        let _ = self.slots.send((body, share)).await;
    }
}

/// Writes answers and the server's own messages until the answers end or the client closes its end.
async fn write<W: AsyncWrite + Unpin>(
    mut output: W,
    mut answers: mpsc::Receiver<Encoded>,
    mut requests: impl Stream<Item = Request> + Unpin,
) -> std::io::Result<()> {
    loop {
        let (body, _share) = tokio::select! {
            biased;
            answer = answers.recv() => match answer {
                Some(answer) => answer,
                None => return Ok(()),
            },
            Some(request) = requests.next() => (encode(&without_null(request)), None),
        };
        output.write_all(&body).await?;
        output.flush().await?;
    }
}

/// JSON-RPC 2.0 §4.2: parameters are a structure, or left out.
fn without_null(request: Request) -> Request {
    if request.params().is_none_or(|params| !params.is_null()) {
        return request;
    }
    let (method, id, _) = request.into_parts();
    let bare = Request::build(method);
    match id {
        Some(id) => bare.id(id).finish(),
        None => bare.finish(),
    }
}

/// One message with its header.
fn encode(message: &impl Serialize) -> Vec<u8> {
    let body = serde_json::to_vec(message).expect("messages have string keys and no failing serializer");
    let mut bytes = format!("Content-Length: {}\r\n\r\n", body.len()).into_bytes();
    bytes.extend(body);
    bytes
}
