//! A workspace's dependencies: used where they are installed, installed where they are missed and the user agrees.

use super::Work;
use crate::event::{Kind, Note};
use crate::sandbox::setup::{self, Setup};
use futures_util::future::BoxFuture;
use std::sync::Arc;
use std::time::Instant;

/// Asks the user; false also when nobody can be asked.
pub type Consent = Arc<dyn Fn(Wish) -> BoxFuture<'static, bool> + Send + Sync>;

/// What the user is asked to agree to.
#[derive(Clone, Debug)]
pub struct Wish {
    /// Equal for two wishes that would install the same.
    pub key: String,
    /// What would be done, as an infinitive: `install what … names …`.
    pub question: String,
}

/// For where nobody can be asked.
pub fn nobody() -> Consent {
    Arc::new(|_| Box::pin(async { false }))
}

impl Wish {
    pub fn of(setup: &Setup) -> Wish {
        Wish { key: setup.key(""), question: setup.question() }
    }
}

impl Work<'_> {
    /// Finds out what the check needs installed, and takes the image that has it.
    pub(super) async fn look_for_dependencies(&mut self) {
        let (Some(check), Some(snapshot)) = (&mut self.check, &self.snapshot) else { return };
        let command = self.ports.options.setup.as_deref();
        self.setup = setup::plan(snapshot, &check.directory, check.language.as_deref(), command);
        if let Some(setup) = &self.setup {
            // An engine that cannot answer says so when the check is run.
            self.image = self.ports.sandbox.prepared(setup).await.ok().flatten();
            let installed = self.image.is_some();
            Arc::make_mut(&mut check.provided).supply(setup, installed);
        }
    }

    /// Installs what the workspace asks for, once a check has missed something and if the user agrees. Whether it
    /// was done: then the check is to be run again.
    pub(super) async fn install(&mut self) -> bool {
        let Some(setup) = self.setup.take_if(|_| self.image.is_none()) else { return false };
        let asked = Instant::now();
        let agreed = (self.ports.consent)(Wish::of(&setup)).await;
        if agreed {
            let emit = self.emit.clone();
            let tell = move |line: &str| emit(Kind::Noted { level: Note::Info, text: line.into() });
            match self.ports.sandbox.prepare(&self.task.id, &setup, &tell).await {
                Ok(image) => self.image = Some(image),
                Err(error) => self.note(Note::Warning, error.to_string()),
            }
        }
        self.program_time += asked.elapsed();
        // Taken out of `self`, so that nobody is asked twice in one task.
        if let Some(check) = &mut self.check {
            Arc::make_mut(&mut check.provided).supply(&setup, self.image.is_some());
        }
        self.image.is_some()
    }
}
