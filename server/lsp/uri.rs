//! URIs as clients write them, made legal. Not every client encodes all that RFC 3986 wants encoded: Helix and Zed leave
//! `[id].tsx` as it is, others any character. Who only reads legal ones never hears of such a document. Pure.

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde_json::Value;
use std::borrow::Cow;
use std::path::Path;
use std::str::FromStr;
use tower_lsp::lsp_types::Uri;

/// What no path, query or fragment holds as it is (RFC 3986 §3.3); `%` is looked at more closely.
const ILLEGAL: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'<')
    .add(b'>')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// The same URI with all encoded that must be; one that is legal stays as it is.
pub(super) fn legal(uri: &str) -> Cow<'_, str> {
    if Uri::from_str(uri).is_ok() {
        return uri.into();
    }
    // Brackets are legal in an authority, around an address.
    let after = |mark: &str| uri.find(mark).map(|at| at + mark.len());
    let path = match after("://") {
        Some(authority) => uri[authority..].find('/').map_or(uri.len(), |at| authority + at),
        None => after(":").unwrap_or(0),
    };
    let mut out = uri[..path].to_owned();
    for (index, piece) in uri[path..].split('%').enumerate() {
        if index > 0 {
            let encodes = piece.len() >= 2 && piece.bytes().take(2).all(|byte| byte.is_ascii_hexdigit());
            out.push_str(if encodes { "%" } else { "%25" });
        }
        out.extend(utf8_percent_encode(piece, ILLEGAL));
    }
    out.into()
}

/// Makes every URI in the parameters of a message legal.
pub(super) fn mend(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(mend),
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::String(text)
                        if name.ends_with("uri") || name.ends_with("Uri") || name == "href" =>
                    {
                        if let Cow::Owned(mended) = legal(text) {
                            *text = mended;
                        }
                    }
                    Value::Array(_) | Value::Object(_) => mend(value),
                    _ => {}
                }
            }
        }
        _ => {}
    }
}

/// The URI of a file.
pub(super) fn of_file(path: &Path) -> Option<Uri> {
    Uri::from_str(&legal(url::Url::from_file_path(path).ok()?.as_str())).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_must_be_encoded_is() {
        for (uri, expect) in [
            ("file:///w/a.py", "file:///w/a.py"),
            ("file:///w/a%20b%5B.py", "file:///w/a%20b%5B.py"),
            ("file:///w/[id].tsx", "file:///w/%5Bid%5D.tsx"),
            ("file:///w/é b{}|^`\\\"<>.py", "file:///w/%C3%A9%20b%7B%7D%7C%5E%60%5C%22%3C%3E.py"),
            ("file:///w/[100%].py", "file:///w/%5B100%25%5D.py"),
            ("file:///w/100%", "file:///w/100%25"),
            ("file:///w/%4[.py", "file:///w/%254%5B.py"),
            ("vscode-remote://wsl+Debian/w/[id].ts", "vscode-remote://wsl+Debian/w/%5Bid%5D.ts"),
            ("http://[::1]:80/[a]", "http://[::1]:80/%5Ba%5D"),
            ("untitled:new [1]", "untitled:new%20%5B1%5D"),
        ] {
            assert_eq!(legal(uri), expect);
            assert!(Uri::from_str(expect).is_ok(), "{expect}");
        }
    }

    #[test]
    fn every_uri_of_a_message_is_found() {
        let raw = "file:///w/[a].py";
        let mut params = json!({
            "textDocument": {"uri": raw, "text": raw},
            "files": [{"oldUri": raw, "newUri": raw}],
            "rootUri": null,
            "context": {"diagnostics": [{"codeDescription": {"href": raw}, "message": raw}]},
        });
        mend(&mut params);
        let legal = "file:///w/%5Ba%5D.py";
        assert_eq!(params["textDocument"], json!({"uri": legal, "text": raw}));
        assert_eq!(params["files"][0], json!({"oldUri": legal, "newUri": legal}));
        let diagnostic = &params["context"]["diagnostics"][0];
        assert_eq!(
            (&diagnostic["codeDescription"]["href"], &diagnostic["message"]),
            (&json!(legal), &json!(raw))
        );
    }

    #[test]
    fn files_have_one() {
        let uri = of_file(Path::new("/w/[id] é.py")).map(|uri| uri.to_string());
        assert_eq!(uri.as_deref(), Some("file:///w/%5Bid%5D%20%C3%A9.py"));
    }
}
