//! JUnit XML, as pytest (`junit_family=xunit1`, which has the file of a test), JUnit's launcher, Maven, Gradle, `CTest`,
//! `PHPUnit` and Bats write it. Several documents may follow each other.

use super::{MAX_BYTES, MAX_TEXT, Report, State, TestResult, append, head};
use crate::agent::check::ROOT;
use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

impl Report {
    /// Reads pytest's JUnit XML.
    pub(in crate::agent::check) fn read_junit(&mut self, bytes: &[u8]) {
        let text = String::from_utf8_lossy(&bytes[..bytes.len().min(MAX_BYTES)]);
        let mut reader = Reader::from_str(&text);
        let mut open: Option<(String, TestResult)> = None;
        let mut inside = false;
        loop {
            match reader.read_event() {
                Err(_) | Ok(Event::Eof) => break,
                Ok(Event::Start(tag) | Event::Empty(tag)) if tag.name().as_ref() == "testsuite" => {
                    self.read = true;
                }
                Ok(Event::Start(tag)) if tag.name().as_ref() == "testcase" => open = Some(junit_case(&tag)),
                Ok(Event::Empty(tag)) if tag.name().as_ref() == "testcase" => {
                    let (name, result) = junit_case(&tag);
                    self.add(name, result);
                }
                Ok(Event::End(tag)) if tag.name().as_ref() == "testcase" => {
                    if let Some((name, result)) = open.take() {
                        self.add(name, result);
                    }
                }
                Ok(Event::Start(tag)) => {
                    // CTest's failures are empty; what the program printed says why.
                    inside = open.as_mut().is_some_and(|(_, test)| {
                        junit_outcome(&tag, test)
                            || tag.name().as_ref() == "system-out" && test.state == State::Failed
                    });
                }
                Ok(Event::Empty(tag)) => {
                    if let Some((_, test)) = &mut open {
                        junit_outcome(&tag, test);
                    }
                }
                Ok(Event::End(_)) => inside = false,
                Ok(event) if inside => {
                    if let (Some((_, test)), Some(text)) = (&mut open, xml_text(&event)) {
                        append(&mut test.detail, &text);
                    }
                }
                Ok(_) => {}
            }
        }
    }
}

/// Name and first guess of a `testcase`: passed, until a child says something else.
fn junit_case(tag: &BytesStart) -> (String, TestResult) {
    let (name, class) = (attribute(tag, "name"), attribute(tag, "classname"));
    let file = attribute(tag, "file");
    let file = file.strip_prefix(ROOT).map_or(file.as_str(), |file| file.trim_start_matches('/')).to_owned();
    let result =
        TestResult { state: State::Passed, message: String::new(), detail: String::new(), whole: false };
    if file.is_empty() {
        let class = class.trim_start_matches("./");
        // CTest knows no classes and repeats the name.
        let class = if class == name { "" } else { class };
        return (
            [class, &name].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("::"),
            result,
        );
    }
    // A file that could not be collected has no class; its own name is that of its module.
    if class.is_empty() {
        return (file, TestResult { whole: true, ..result });
    }
    let module = file.strip_suffix(".py").unwrap_or(&file).replace('/', ".");
    let classes = class.strip_prefix(&module).unwrap_or_default().trim_start_matches('.');
    let parts = std::iter::once(file.as_str()).chain(classes.split('.').filter(|part| !part.is_empty()));
    (parts.chain([name.as_str()]).collect::<Vec<_>>().join("::"), result)
}

/// Takes over a child of a `testcase` that tells how it ended.
fn junit_outcome(tag: &BytesStart, test: &mut TestResult) -> bool {
    let state = match tag.name().as_ref() {
        "failure" | "error" => State::Failed,
        "skipped" => State::Skipped,
        _ => return false,
    };
    if state >= test.state {
        test.state = state;
        test.message = attribute(tag, "message");
    }
    true
}

fn attribute(tag: &BytesStart, name: &str) -> String {
    let found = tag.attributes().flatten().find(|attribute| attribute.key.as_ref() == name);
    let value = found.map(|found| found.normalized_value(quick_xml::XmlVersion::Implicit1_0));
    value.and_then(Result::ok).map(|value| head(&value, MAX_TEXT).to_owned()).unwrap_or_default()
}

/// The text of an event inside an element.
fn xml_text(event: &Event) -> Option<String> {
    match event {
        Event::Text(text) => Some(text.to_string()),
        Event::CData(text) => Some(text.to_string()),
        Event::GeneralRef(reference) => match reference.resolve_char_ref() {
            Ok(Some(c)) => Some(c.into()),
            _ => quick_xml::escape::resolve_predefined_entity(reference.as_ref()).map(Into::into),
        },
        _ => None,
    }
}
