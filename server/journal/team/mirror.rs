//! The tasks of other machines as the Redis has them; reading on costs only what is new.

use super::super::files::{Files, is_id, now};
use super::super::{Query, Row, StoreError, machine};
use super::scripts::{self, SILENCE};
use crate::link::{Link, LinkError};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Servers that are named.
const TOLD: usize = 20;

#[derive(Default)]
pub(super) struct Mirror {
    /// The change seen last.
    cursor: String,
    /// Those that are not kept here.
    rows: BTreeMap<String, Row>,
    /// Those that somebody without the team's key has written; they are not shown.
    pub(super) strangers: BTreeSet<String>,
    /// The servers that are heard of, with what they say of themselves; `None`: nobody has asked yet.
    pub(super) there: Option<Vec<(String, Value)>>,
}

impl Mirror {
    pub(super) async fn refresh(&mut self, link: &Link, files: &Files) -> Result<(), LinkError> {
        let changes = scripts::changes(link, &self.cursor).await?;
        if changes.all {
            self.rows.clear();
            self.strangers.clear();
        }
        for (task, _) in &changes.rows {
            self.strangers.remove(task);
        }
        self.strangers.extend(changes.strangers);
        for (task, row) in changes.rows {
            match row.filter(|_| is_id(&task) && !files.has(&task)) {
                Some(row) => self.rows.insert(task, Row { remote: true, ..row }),
                None => self.rows.remove(&task),
            };
        }
        self.cursor = changes.last;
        Ok(())
    }

    pub(super) fn choose(&self, query: &Query) -> Vec<Row> {
        let chosen = query.choose(self.rows.values());
        chosen.into_iter().map(|row| self.heard(row)).collect()
    }

    /// A task that runs on a server that is not heard of: gone, or cut off from the Redis.
    fn heard(&self, row: Row) -> Row {
        let silent = |there: &Vec<(String, Value)>| there.iter().all(|(server, _)| *server != row.server);
        let old = now().saturating_sub(row.begun) > SILENCE.as_millis() as u64;
        if !row.is_running() || !old || !self.there.as_ref().is_some_and(silent) {
            return row;
        }
        let message = "interrupted, or cut off from the Redis: its server is not heard of".into();
        Row { interrupted: true, message, ..row }
    }

    /// Who is there, for people: `Neovim on laptop`.
    pub(super) fn told(&self) -> Vec<String> {
        let told = |(server, words): &(String, Value)| {
            let editor: String = words["editor"].as_str().unwrap_or("somebody").chars().take(40).collect();
            format!("{editor} on {}", machine(server))
        };
        self.there.iter().flatten().take(TOLD).map(told).collect()
    }

    fn begin<'a>(&'a self, id: &'a str) -> impl Iterator<Item = &'a Row> {
        let from = self.rows.range(id.to_owned()..);
        from.take_while(move |(key, _)| key.starts_with(id)).map(|(_, row)| row)
    }

    /// How many begin so.
    pub(super) fn count(&self, id: &str) -> usize {
        self.begin(id).count()
    }

    /// By id, or by the beginning of one.
    pub(super) fn find(&self, id: &str) -> Result<Row, StoreError> {
        let exact = self.rows.get(id);
        match (exact, self.begin(id).next(), self.count(id)) {
            (Some(row), _, _) | (None, Some(row), 1) if is_id(id) => Ok(self.heard(row.clone())),
            (_, Some(_), count) if is_id(id) => Err(StoreError::Ambiguous { id: id.to_owned(), count }),
            _ => Err(StoreError::Unknown(id.to_owned())),
        }
    }
}
