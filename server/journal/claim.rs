//! Two servers do not edit one folder at once, and none edits what another has changed since.
//!
//! Buffers cannot tell: what one editor has applied may stand, unsaved, in its buffers alone.

use super::files::make_folder;
use super::index::create;
use super::{Journal, Query, Row, is_this_server};
use crate::agent::task::Report;
use crate::text::sha256;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a server waits for another's turn, and how often it looks.
const PATIENCE: Duration = Duration::from_secs(3);
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);
/// Tasks that are looked through for edits to the same files.
const LOOKED_THROUGH: usize = 256;

/// The turn to edit a folder; over when it is dropped, or its server is gone.
#[derive(Debug)]
pub struct Claim {
    _lock: Option<File>,
}

impl Journal {
    /// Takes the turn to edit a folder. Where no lock can be held, everybody has the turn.
    ///
    /// # Errors
    /// When another keeps it.
    pub async fn claim(&self, root: &Path) -> Result<Claim, String> {
        let name = sha256(real(root).to_string_lossy().as_bytes());
        let folder = self.audit.path().parent().map(|state| state.join("claims"));
        let Some(path) = folder.map(|folder| folder.join(name)) else { return Ok(Claim { _lock: None }) };
        let looks = PATIENCE.as_millis() / BETWEEN_LOOKS.as_millis();
        for _ in 0..looks {
            let path = path.clone();
            let tried = tokio::task::spawn_blocking(move || try_claim(&path)).await;
            match tried {
                Ok(Some(claim)) => return Ok(claim),
                Ok(None) => tokio::time::sleep(BETWEEN_LOOKS).await,
                Err(error) => return Err(format!("the folder could not be claimed: {error}")),
            }
        }
        Err("other edits are being applied to this folder; apply again when they are done".into())
    }

    /// Why a proposal for `root` comes too late: another server of this machine has applied edits to one of its files since
    /// its task began.
    pub async fn overtaken(&self, root: &Path, report: &Report) -> Option<String> {
        let query = Query { limit: LOOKED_THROUGH, ..Query::default() };
        let rows = self.store.list(&query).await.ok()?;
        let begun = rows.iter().find(|row| row.id == report.task)?.begun;
        let ours: Vec<PathBuf> = report.edits.iter().map(|edit| real(&root.join(&edit.path))).collect();
        let theirs = |row: &&Row| !row.remote && !is_this_server(&row.server);
        for row in rows.iter().filter(theirs).filter(|row| row.applied.is_some_and(|at| at > begun)) {
            let record = self.store.task(&row.id).await.ok()?;
            let edits = record.report.as_ref().and_then(|report| report["edits"].as_array());
            let mut theirs = edits.into_iter().flatten().filter_map(|edit| edit["path"].as_str());
            let same = theirs.find(|path| ours.contains(&real(&Path::new(&row.workspace).join(path))));
            if let Some(path) = same {
                return Some(format!("{path} was changed by another editor's `{}` since", row.title));
            }
        }
        None
    }
}

/// `None`: another has the turn.
fn try_claim(path: &Path) -> Option<Claim> {
    let opened = path.parent().map_or(Ok(()), make_folder).and_then(|()| create(path));
    let Ok(lock) = opened else { return Some(Claim { _lock: None }) };
    match lock.try_lock() {
        Err(TryLockError::WouldBlock) => None,
        // Some file systems know no locks.
        Ok(()) | Err(TryLockError::Error(_)) => Some(Claim { _lock: Some(lock) }),
    }
}

/// A file by the name that all servers give it; as it was named where there is none.
fn real(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}
