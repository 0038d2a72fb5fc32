//! The API key is found nowhere: not in what is printed, sent to the editor, recorded or kept, and in no child's
//! environment, whatever the server sends back.

use crate::e2e::PYTHON;
use crate::editor::Editor;
use crate::model_server::{Answer, ModelServer, Request};
use crate::support::{Workspace, files_below};
use base64::engine::{Engine, general_purpose::STANDARD};
use serde_json::{Value, json};

/// Looks like no other key, so that only knowing it helps.
const ODD_KEY: &str = "Zx7.unusual+key/of~tests_0123";

/// Everything that would give the key away.
fn forms() -> Vec<String> {
    let hex: String = ODD_KEY.bytes().map(|byte| format!("{byte:02x}")).collect();
    let inner = |text: &str| {
        let text = STANDARD.encode(text);
        text[4..text.len() - 4].to_owned()
    };
    vec![
        ODD_KEY.into(),
        "Zx7.unusual%2Bkey%2Fof%7Etests_0123".into(),
        hex,
        inner(ODD_KEY),
        inner(&format!("Bearer {ODD_KEY}")),
    ]
}

#[track_caller]
fn check_hidden(place: &str, bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for form in forms() {
        assert!(!text.contains(&form), "{place} holds the key as {form}: {text}");
    }
}

/// The key as the server got it, in every form. What asks which models there are on this machine has none.
fn echo(request: &Request) -> String {
    let Some(sent) = request.header("authorization") else { return "no key\n".into() };
    let key = sent.trim_start_matches("Bearer ");
    assert_eq!(key, ODD_KEY);
    let encoded = [STANDARD.encode(sent), STANDARD.encode(key)].join(" ");
    format!("{sent} {encoded} {}\n", forms()[..3].join(" "))
}

/// Servers that give back what they got: in answers, in edits, in errors.
fn echoing() -> Vec<ModelServer> {
    type Say = fn(String) -> Answer;
    let says: [Say; 6] = [
        |said| Answer::Text(json!({"summary": said, "components": [{"name": said}]}).to_string()),
        |said| {
            Answer::Text(format!("n.py\n```python\n<<<<<<< SEARCH\n=======\n# {said}>>>>>>> REPLACE\n```\n"))
        },
        |said| {
            Answer::Text(format!(
                "It is {said}```json\n{{\"issues\":[{{\"path\":\"gcd.py\",\"line\":1,\"message\":{said:?}}}]}}\n```\n"
            ))
        },
        |said| Answer::Status(401, said),
        |said| Answer::Status(500, said),
        |said| Answer::CutOff(said),
    ];
    says.into_iter().map(|say| ModelServer::start(move |request| say(echo(request)))).collect()
}

#[test]
fn the_command_line_never_shows_the_key() {
    for server in echoing() {
        let workspace = PYTHON.workspace().model(&server).no_sandbox();
        let workspace = workspace.set("OPENROUTER_API_KEY", ODD_KEY).set("OPENDEVAGENT_LIMITS_RETRIES", "1");
        for args in [
            &["plan", "-m", "x", "--record", "t.jsonl"][..],
            &["fix", "-m", "x", "--record", "t.jsonl", "--json"],
            &["fix", "-m", "x", "--apply"],
            &["review", "-m", "x"],
            &["explain", "-m", "x", "--json"],
            &["doctor", "--json"],
            &["config", "show"],
        ] {
            let ended = workspace.run(args);
            check_hidden("standard output", ended.stdout.as_bytes());
            check_hidden("standard error", ended.stderr.as_bytes());
        }
        assert!(!server.requests().is_empty());
        for (path, bytes) in workspace.files().into_iter().chain(files_below(&workspace.home())) {
            check_hidden(&path, &bytes);
        }
    }
}

#[tokio::test]
async fn the_editor_never_sees_the_key() {
    for server in echoing() {
        let agent = json!({"model": "m", "fallbacks": []});
        let settings = json!({
            "model": {"baseUrl": server.url()}, "sandbox": {"host": "off"}, "limits": {"retries": 1},
            "agents": {"architect": agent, "coder": agent, "debugger": agent},
        });
        let client = json!({"events": true, "status": true});
        let mut editor = Editor::start(json!({}), json!({"client": client, "settings": settings})).await;
        let set = editor.request("opendevagent/setKey", json!({"key": ODD_KEY})).await.unwrap();
        assert_eq!(set, json!({"ok": true, "message": "0 models: ", "refused": false}));
        editor.open("gcd.py", "python", "def gcd(a, b):\n    return a\n").await;
        for command in ["plan", "generate", "review"] {
            let task = editor.begin(command, "gcd.py").await;
            editor.ended(&task).await;
        }
        editor.request("opendevagent/doctor", Value::Null).await.unwrap();
        editor.ignore_all();
        let wire = editor.wire.lock().unwrap().clone();
        assert!(wire.contains("opendevagent/event"));
        check_hidden("the wire", wire.as_bytes());
        for (path, bytes) in files_below(editor.directory.path()) {
            check_hidden(&path, &bytes);
        }
        assert!(!server.requests().is_empty());
        let kept = files_below(editor.directory.path());
        let (_, audit) = kept.iter().find(|(path, _)| path.ends_with("audit.jsonl")).expect("it is kept");
        assert!(String::from_utf8_lossy(audit).contains("\"deed\":\"key_set\""), "{audit:?}");
        editor.quit().await;
    }
}

#[test]
fn children_do_not_inherit_the_key() {
    let server = ModelServer::always(Answer::Status(401, "no".into()));
    let workspace = Workspace::new("//- /a.py\nx = 1\n").model(&server).no_sandbox();
    let workspace = workspace
        .set("OPENROUTER_API_KEY", ODD_KEY)
        .set("OPENDEVAGENT_MODEL_KEY_COMMAND", "cat /proc/self/environ > environ; echo another");
    workspace.run(&["plan", "-m", "x"]).exits(3);
    let keys: Vec<_> =
        server.requests().iter().map(|one| one.header("authorization").unwrap().to_owned()).collect();
    assert_eq!(keys, [format!("Bearer {ODD_KEY}"), "Bearer another".to_owned()]);
    let inherited = workspace.read("environ");
    assert!(inherited.contains("HOME="), "{inherited:?}");
    check_hidden("the environment of model.keyCommand", inherited.as_bytes());
}
