//! The settings themselves. The doc comment of a field is its description, everywhere.

use super::quiet::is_within;
use super::seconds;
use crate::sandbox::Limits;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// Declares a group of settings: its fields with defaults; the doc comment of a field is its description.
macro_rules! settings {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident : $type:ty = $default:expr,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[cfg_attr(test, derive(schemars::JsonSchema))]
        #[serde(rename_all = "camelCase", default, deny_unknown_fields)]
        pub struct $name { $($(#[$field_doc])* pub $field: $type,)* }

        impl Default for $name {
            fn default() -> Self {
                Self { $($field: $default,)* }
            }
        }
    };
}

settings! {
    /// All settings, section `opendevagent`.
    Settings {
        model: Model = Model::default(),
        agents: Agents = Agents::default(),
        limits: CallLimits = CallLimits::default(),
        budget: Budget = Budget::default(),
        pipeline: Pipeline = Pipeline::default(),
        sandbox: Sandbox = Sandbox::default(),
        context: Context = Context::default(),
        inline: Inline = Inline::default(),
        store: Store = Store::default(),
        dashboard: Dashboard = Dashboard::default(),
        telemetry: Telemetry = Telemetry::default(),
        notify: Notify = Notify::default(),
    }
}

settings! {
    Model {
        /// Address of the OpenAI-compatible server. Plain http is refused beyond this machine.
        base_url: String = "https://openrouter.ai/api/v1".into(),
        /// Environment variable that holds the API key.
        key_env: String = "OPENROUTER_API_KEY".into(),
        /// Command whose first line of output is the API key, e.g. `pass show openrouter`.
        key_command: Option<String> = None,
        /// `deny`: only providers that neither store prompts nor train on them (OpenRouter).
        data_collection: DataCollection = DataCollection::Deny,
        /// Only endpoints with zero data retention (OpenRouter).
        zdr: bool = false,
    }
}

/// Whether providers may keep prompts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum DataCollection {
    Deny,
    Allow,
}

impl DataCollection {
    pub fn name(self) -> &'static str {
        match self {
            Self::Deny => "deny",
            Self::Allow => "allow",
        }
    }
}

settings! {
    Agents {
        architect: Architect = Architect::default(),
        coder: Coder = Coder::default(),
        debugger: Debugger = Debugger::default(),
    }
}

/// An agent's settings differ only in their defaults.
macro_rules! agent {
    ($name:ident, $what:literal, $model:literal, $temperature:literal) => {
        settings! {
            #[doc = $what]
            $name {
                /// Model that is asked.
                #[cfg_attr(test, schemars(extend("examples" = crate::model::catalog::WELL_KNOWN)))]
                model: String = $model.into(),
                /// 0 (always the likeliest word) to 2.
                temperature: f64 = $temperature,
                /// Models asked in this order when the first fails.
                #[cfg_attr(test, schemars(extend("items" = serde_json::json!({
                    "type": "string", "examples": crate::model::catalog::WELL_KNOWN
                }))))]
                fallbacks: Vec<String> = vec!["meta-llama/llama-3.1-70b-instruct".into()],
            }
        }
    };
}

agent!(Architect, "Plans and explains.", "openai/gpt-4o", 0.3);
agent!(Coder, "Writes code and tests.", "mistralai/codestral-2508", 0.2);
agent!(Debugger, "Analyses, repairs and reviews.", "anthropic/claude-sonnet-4.5", 0.2);

settings! {
    CallLimits {
        /// Calls to the model server per minute.
        requests_per_minute: u32 = 20,
        /// Calls on their way at once.
        concurrent_calls: u32 = 4,
        /// Tasks running at once; further ones wait.
        concurrent_tasks: u32 = 8,
        /// Seconds to connect.
        connect_seconds: f64 = 10.0,
        /// Seconds to the first byte of an answer.
        first_byte_seconds: f64 = 60.0,
        /// Seconds to the first word of an answer; local servers load the model first.
        first_token_seconds: f64 = 120.0,
        /// Seconds of silence in the middle of an answer.
        idle_seconds: f64 = 30.0,
        /// Seconds for a whole answer.
        call_seconds: f64 = 600.0,
        /// Tries of one call in all.
        retries: u32 = 3,
        /// Longest wait that a server may ask for, in seconds, before the next model is asked instead.
        max_hint_seconds: f64 = 30.0,
    }
}

settings! {
    Budget {
        /// US dollars one task may cost.
        usd_per_task: f64 = 0.50,
        /// Tokens one task may use.
        tokens_per_task: u64 = 200_000,
        /// Seconds one task may take.
        seconds_per_task: f64 = 900.0,
    }
}

settings! {
    Pipeline {
        /// Repairs after the first proposal, before one fresh start.
        repair_rounds: u32 = 3,
    }
}

settings! {
    Sandbox {
        /// Address of the Docker engine; unset: `DOCKER_HOST`, the Docker context, the usual sockets. `off`: no sandbox. `team`: the workers that listen at `store.url`.
        host: Option<String> = None,
        /// CPUs a check may use.
        cpus: f64 = 1.0,
        /// Memory of a check in MiB, without swap.
        #[serde(rename = "memoryMiB")]
        memory_mib: u64 = 512,
        /// Wall clock limit of a check in seconds.
        timeout_seconds: f64 = 300.0,
        /// Processes and threads a check may have.
        pids: u32 = 128,
        /// Output kept of each stream in KiB; a program that writes more is killed.
        #[serde(rename = "outputKiB")]
        output_kib: u64 = 1024,
        /// Scratch space in MiB of `/work` and of `/tmp`.
        #[serde(rename = "scratchMiB")]
        scratch_mib: u64 = 256,
        /// Container runtime, e.g. `runsc` for gVisor.
        runtime: String = "runc".into(),
        /// Image per language instead of the built one, e.g. `{"python": "python:3.13-slim"}`.
        images: BTreeMap<String, String> = BTreeMap::new(),
        /// Shell command that installs a project's dependencies, run once after you agreed, with a network; unset: as its lock files suggest. `off`: none.
        setup: Option<String> = None,
        /// Docker network that the setup fetches packages over.
        setup_network: String = "bridge".into(),
        /// Containers kept ready per image in use, so that a check starts at once; given up after 10 idle minutes. At most 8.
        warm: u32 = 1,
    }
}

settings! {
    Context {
        /// Tokens of workspace text a model may see in one call.
        max_tokens: u32 = 24_000,
        /// Further files never read, sent or edited; syntax of `.gitignore`. Secrets and ignored files always are.
        exclude: Vec<String> = Vec::new(),
    }
}

settings! {
    Inline {
        /// A lens `Implement NAME` above each function and class that is yet to be written.
        stubs: bool = true,
        /// The verdict beside an edit that was applied, e.g. `proven ✓ 42 tests`, until the next edit of the file.
        verdict: bool = true,
        /// Completions in grey where you pause, by the Coder, where the editor asks for them (LSP 3.18). The text around the cursor goes to its model; an hour of them may cost what a task may.
        completion: bool = false,
    }
}

settings! {
    Store {
        /// Where tasks are kept: an absolute folder; unset: `$XDG_STATE_HOME/opendevagent`. The address of a Redis, `rediss://[USER@]HOST:PORT[,HOST:PORT]`: there too, for a team to see.
        url: Option<String> = None,
        /// A Redis beyond this machine may be spoken to without TLS: on a network of your own.
        plaintext: bool = false,
        /// Days an ended task is kept.
        keep_days: u32 = 90,
        /// MiB that all tasks may take; the oldest go first.
        #[serde(rename = "keepMiB")]
        keep_mib: u64 = 512,
    }
}

settings! {
    Dashboard {
        /// Offer the page that shows tasks: opened on demand, on this machine alone.
        enabled: bool = true,
    }
}

settings! {
    Notify {
        /// Hours in your time in which no message says that a task has ended, e.g. `22:00-07:00`.
        quiet_hours: Option<String> = None,
    }
}

settings! {
    Telemetry {
        /// Base address of an OpenTelemetry collector (OTLP over HTTP), e.g. `http://127.0.0.1:4318`; unset: nothing is sent anywhere.
        otlp_endpoint: Option<String> = None,
    }
}

impl Settings {
    /// What a type cannot say.
    pub(super) fn validate(&self, key: &str) -> Result<(), String> {
        let positive = |value: f64, most: f64| {
            if value > 0.0 && value <= most {
                Ok(())
            } else {
                Err(format!("must be above 0 and at most {most}"))
            }
        };
        match key {
            "sandbox.cpus" => positive(self.sandbox.cpus, 1024.0),
            "sandbox.timeoutSeconds" => positive(self.sandbox.timeout_seconds, 86_400.0),
            "sandbox.memoryMiB" => positive(self.sandbox.memory_mib as f64, 1_048_576.0),
            "sandbox.pids" => positive(f64::from(self.sandbox.pids), 1_000_000.0),
            "sandbox.outputKiB" => positive(self.sandbox.output_kib as f64, 1_048_576.0),
            "sandbox.scratchMiB" => positive(self.sandbox.scratch_mib as f64, 1_048_576.0),
            "sandbox.warm" if self.sandbox.warm > 8 => Err("must be at most 8".into()),
            "notify.quietHours"
                if self.notify.quiet_hours.as_ref().is_some_and(|hours| is_within(hours, 0).is_none()) =>
            {
                Err("must be two times of the day, e.g. 22:00-07:00".into())
            }
            "limits.requestsPerMinute" => positive(f64::from(self.limits.requests_per_minute), 100_000.0),
            "limits.concurrentCalls" => positive(f64::from(self.limits.concurrent_calls), 1_000.0),
            "limits.concurrentTasks" => positive(f64::from(self.limits.concurrent_tasks), 1_000.0),
            "store.url" => match &self.store.url {
                Some(url) if !std::path::Path::new(url).is_absolute() && !is_redis(url) => {
                    Err("must be an absolute folder, or the address of a Redis".into())
                }
                Some(url) if url::Url::parse(url).is_ok_and(|url| url.password().is_some()) => {
                    Err("must hold no password; put it into OPENDEVAGENT_REDIS_PASSWORD".into())
                }
                _ => Ok(()),
            },
            "telemetry.otlpEndpoint" => match self.telemetry.otlp_endpoint.as_deref().map(url::Url::parse) {
                Some(Ok(url)) if url.password().is_some() || !url.username().is_empty() => {
                    Err("must hold no password; put a header into OTEL_EXPORTER_OTLP_HEADERS".into())
                }
                Some(Ok(url)) if matches!(url.scheme(), "http" | "https") => Ok(()),
                Some(_) => Err("must be an address, e.g. http://127.0.0.1:4318".into()),
                None => Ok(()),
            },
            "store.keepDays" => positive(f64::from(self.store.keep_days), 36_500.0),
            "store.keepMiB" => positive(self.store.keep_mib as f64, 1_048_576.0),
            "limits.retries" => positive(f64::from(self.limits.retries), 100.0),
            _ if key.ends_with("Seconds") || key == "budget.secondsPerTask" => {
                let value = serde_json::to_value(self).ok().and_then(|all| {
                    all.pointer(&format!("/{}", key.replace('.', "/"))).and_then(Value::as_f64)
                });
                value.map_or(Ok(()), |value| positive(value, 86_400.0))
            }
            _ => Ok(()),
        }
    }

    /// The limits of one sandbox run.
    pub fn sandbox_limits(&self) -> Limits {
        Limits {
            cpus: self.sandbox.cpus,
            memory_mib: self.sandbox.memory_mib,
            network: "none",
            timeout: seconds(self.sandbox.timeout_seconds),
            pids: i64::from(self.sandbox.pids),
            output_kib: self.sandbox.output_kib,
            scratch_mib: self.sandbox.scratch_mib,
        }
    }
}

/// Whether `store.url` names a Redis that a team shares, and not a folder.
pub fn is_redis(url: &str) -> bool {
    url.split_once("://").is_some_and(|(scheme, _)| matches!(scheme, "redis" | "rediss"))
}
