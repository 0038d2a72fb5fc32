//! What stands in the text: hovers, lenses, hints, and findings where their lines are now.

use super::{BEFORE, FINDINGS, options, plain};
use crate::editor::{Editor, Models};
use serde_json::{Value, json};

/// The hover on a line of `a.py`.
async fn hover(editor: &mut Editor, line: u32) -> Value {
    let at = json!({"line": line, "character": 4});
    let params = json!({"textDocument": {"uri": editor.uri("a.py")}, "position": at});
    editor.request("textDocument/hover", params).await.unwrap()
}

#[tokio::test]
async fn a_finding_tells_what_is_behind_it() {
    let models = Models::start(&[("debugger", FINDINGS)]).await;
    for (formats, kind) in [(json!(["markdown", "plaintext"]), "markdown"), (json!(null), "plaintext")] {
        let capabilities = json!({"textDocument": {"hover": {"contentFormat": formats}}});
        let mut editor = Editor::start(capabilities, options(&models)).await;
        editor.open("a.py", "python", BEFORE).await;
        assert_eq!(hover(&mut editor, 1).await, Value::Null);
        let task = editor.begin("review", "a.py").await;
        editor.expect("textDocument/publishDiagnostics").await;
        editor.ended(&task).await;
        let found = hover(&mut editor, 1).await;
        assert_eq!(found["contents"]["kind"], kind);
        let text = found["contents"]["value"].as_str().unwrap();
        assert!(text.contains("review a.py") && text.contains("1 call, "), "{text}");
        assert_eq!(found["range"]["start"], json!({"line": 1, "character": 4}));
        assert_eq!(hover(&mut editor, 0).await, Value::Null);
        editor.expect("window/showMessage").await;
        editor.quit().await;
    }
}

/// The user inserts a line while the model thinks: the finding is about the line it was made for.
#[tokio::test]
async fn a_finding_arrives_where_its_line_is_now() {
    let models = Models::start(&[("debugger", FINDINGS)]).await;
    let mut editor = Editor::start(plain(), options(&models)).await;
    editor.open("a.py", "python", BEFORE).await;
    let argument = json!({"uri": editor.uri("a.py")});
    let params = json!({"command": "opendevagent.review", "arguments": [argument]});
    let id = editor.post("workspace/executeCommand", params).await;
    editor.change("a.py", 2, &format!("# above\n{BEFORE}")).await;
    editor.answer(&id.into()).await.unwrap();
    editor.expect("textDocument/publishDiagnostics").await;
    assert_eq!(hover(&mut editor, 1).await, Value::Null);
    assert!(hover(&mut editor, 2).await.is_object());
    editor.expect("window/showMessage").await;
    editor.quit().await;
}

/// The titles of the lenses of `a.py`.
async fn lenses(editor: &mut Editor) -> Vec<String> {
    let params = json!({"textDocument": {"uri": editor.uri("a.py")}});
    let lenses = editor.request("textDocument/codeLens", params).await.unwrap();
    let title = |lens: &Value| {
        format!("{} {}", lens["range"]["start"]["line"], lens["command"]["title"].as_str().unwrap())
    };
    lenses.as_array().unwrap().iter().map(title).collect()
}

#[tokio::test]
async fn stubs_have_lenses_unless_the_user_wants_none() {
    const TEXT: &str = "def one():\n    return 1\n\ndef two():\n    pass\n";
    let capabilities = json!({"workspace": {"codeLens": {"refreshSupport": true}}});
    for (wanted, expect) in [(true, vec!["3 Implement two"]), (false, vec![])] {
        let settings = json!({"inline": {"stubs": wanted}});
        let mut editor = Editor::start(capabilities.clone(), json!({"settings": settings})).await;
        editor.open("a.py", "python", TEXT).await;
        let first = lenses(&mut editor).await;
        if wanted {
            assert_eq!(first, expect);
        } else {
            // The settings are read beside; the client is told when they change what it has seen.
            let refresh = editor.expect("workspace/codeLens/refresh").await;
            editor.reply(&refresh, Value::Null).await;
        }
        assert_eq!(lenses(&mut editor).await, expect);
        editor.quit().await;
    }
}

#[tokio::test]
async fn hints_are_offered_to_clients_that_show_them() {
    let editor = Editor::start(plain(), Value::Null).await;
    assert!(editor.welcome["capabilities"].get("inlayHintProvider").is_none());
    editor.quit().await;
    let mut editor = Editor::start(json!({"textDocument": {"inlayHint": {}}}), Value::Null).await;
    assert_eq!(editor.welcome["capabilities"]["inlayHintProvider"], true);
    editor.open("a.py", "python", BEFORE).await;
    let range = json!({"start": {"line": 0, "character": 0}, "end": {"line": 9, "character": 0}});
    let params = json!({"textDocument": {"uri": editor.uri("a.py")}, "range": range});
    assert_eq!(editor.request("textDocument/inlayHint", params).await.unwrap(), json!([]));
    editor.quit().await;
}
