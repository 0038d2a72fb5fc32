//! `opendevagent models`: what the server serves, as it said within the last day.

use super::{complain, print, print_json};
use crate::config::Loaded;
use crate::model::list::{List, Listed};
use crate::model::{ModelError, catalog};
use crate::wiring::{self, Keys};
use clap::Args;
use serde_json::{Value, json};
use std::fmt::Write;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// From then on the age of a list is worth a word.
const WORTH_TELLING: Duration = Duration::from_secs(60);

#[derive(Debug, Args)]
pub(super) struct ModelsArgs {
    /// Show only ids that hold all of these words.
    #[arg(value_name = "FILTER")]
    filter: Vec<String>,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: ModelsArgs, loaded: &Loaded) -> u8 {
    match list(loaded).await {
        Ok(list) => show(&args, loaded, &list),
        Err(error) => {
            complain(&format!("opendevagent: {error}"));
            3
        }
    }
}

async fn list(loaded: &Loaded) -> Result<Arc<List>, ModelError> {
    wiring::model(&loaded.settings, Arc::new(Keys::new(&loaded.settings, None)))?.list().await
}

fn show(args: &ModelsArgs, loaded: &Loaded, list: &List) -> u8 {
    let words: Vec<_> = args.filter.iter().map(|word| word.to_lowercase()).collect();
    let fits = |model: &&Listed| words.iter().all(|word| model.id.to_lowercase().contains(word));
    let models: Vec<_> =
        list.models.iter().filter(fits).map(|model| (model, askers(loaded, list, model))).collect();
    if args.json {
        let rows: Vec<_> = models.iter().map(|(model, askers)| row(model, askers)).collect();
        return print_json(&json!({"server": list.server, "fetched": list.fetched, "models": rows}));
    }
    print(&table(&models));
    let age = list.age(SystemTime::now()).filter(|age| *age >= WORTH_TELLING);
    let age = age.map(|age| format!(", as told {} min ago", age.as_secs() / 60)).unwrap_or_default();
    complain(&format!("{} of {} models of {}{age}", models.len(), list.models.len(), list.server));
    0
}

/// The agents whose model it is.
fn askers(loaded: &Loaded, list: &List, model: &Listed) -> Vec<&'static str> {
    let agents = &loaded.settings.agents;
    let named = [
        ("architect", &agents.architect.model),
        ("coder", &agents.coder.model),
        ("debugger", &agents.debugger.model),
    ];
    let asks = |id: &str| list.find(&catalog::canonical(id)).is_some_and(|found| found.id == model.id);
    named.into_iter().filter(|(_, id)| asks(id)).map(|(agent, _)| agent).collect()
}

fn row(model: &Listed, askers: &[&str]) -> Value {
    let millions = |per_token: f64| (per_token * 1e12).round() / 1e6;
    json!({
        "id": model.id,
        "context": model.context,
        "prompt_usd_per_million": model.price.map(|price| millions(price.prompt)),
        "answer_usd_per_million": model.price.map(|price| millions(price.answer)),
        "agents": askers,
    })
}

fn table(models: &[(&Listed, Vec<&str>)]) -> String {
    let width = models.iter().map(|(model, _)| model.id.len()).max().unwrap_or(0);
    let mut out = String::new();
    for (model, askers) in models {
        let context = model.context.map_or(String::new(), |tokens| format!("{tokens} tokens"));
        let price = model.price.map_or(String::new(), |price| {
            format!("${:.2} / ${:.2} per million", price.prompt * 1e6, price.answer * 1e6)
        });
        let line = format!("{:width$}  {context:>14}  {price:<30}  {}", model.id, askers.join(", "));
        let _ = writeln!(out, "{}", line.trim_end());
    }
    out
}
