//! Server-sent events, whole and in pieces.

use opendevagent::model::sse::{Event, Parser};

pub(super) fn run(data: &[u8]) {
    let Some((&piece, stream)) = data.split_first() else { return };
    let whole = read([stream].into_iter());
    let pieces = read(stream.chunks(usize::from(piece).max(1)));
    assert_eq!(whole, pieces, "the network's pieces make no difference");
}

fn read<'d>(pieces: impl Iterator<Item = &'d [u8]>) -> Option<Vec<Event>> {
    let mut parser = Parser::default();
    let mut events = Vec::new();
    for piece in pieces {
        events.extend(parser.push(piece).ok()?);
    }
    events.extend(parser.finish());
    Some(events)
}
