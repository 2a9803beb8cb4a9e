//! Commands by name. What the story itself could change is never run.

use super::{Call, CommandPrinted, Gate, Refusal};
use crate::{
    providers::command::{self, CommandError, CommandOutput, Job},
    tree::trash::Mark,
};
use std::path::{Path, PathBuf};
use unship_policy::{Name, Place, meaning::CommandMeaning};
use unship_rollback::Effect;

impl Gate {
    /// `commands.run` and `commands.run-with`: with exactly the parameters that policy gives the command.
    ///
    /// # Errors
    /// A refusal for the guest, or a stop.
    pub fn command_run(&mut self, command: &str, parameters: &[(String, String)]) -> Call<CommandPrinted> {
        let name = self.demand_named("commands.run", command)?;
        let Some(meaning) = self.world.definitions.commands.get(&name).cloned() else {
            return Err(Refusal::UnknownName(format!("no `[commands.{name}]` in the policies")).into());
        };
        let line = match meaning.line(parameters) {
            Ok(line) => line,
            Err(e) => {
                let denial = self.denial(format!("commands.run {command:?} with these parameters"), &e.to_string());
                return Err(self.deny_call(denial));
            }
        };
        let what = format!("commands.run {command:?}");
        for argv in std::iter::once(&line.argv).chain(&line.undo) {
            self.demand_unchangeable(&what, argv)?;
        }
        let effect = Effect::CommandRan {
            command: name.to_string(),
            argv: line.argv.clone(),
            undo: line.undo,
            parameters: parameters.iter().cloned().collect(),
        };
        let number = self.ledger.intend(&effect)?;
        self.begin_unfiled(number, &Mark::Run)?;
        if let Some(simulated) = &mut self.world.simulated {
            simulated.released.extend(meaning.simulated_releases.iter().cloned());
            self.ledger.made(number, effect, None, Vec::new())?;
            return Ok(CommandPrinted { stdout: meaning.simulated_stdout, stderr: String::new() });
        }
        // It may have done anything by the time it fails, so it counts as made either way.
        let ran = command::run(&self.world.site, &Job::of(&meaning, &line.argv), self.deadline);
        self.ledger.made(number, effect, None, Vec::new())?;
        self.printed(&name, &meaning, ran)
    }

    fn printed(
        &mut self,
        name: &Name,
        meaning: &CommandMeaning,
        ran: Result<CommandOutput, CommandError>,
    ) -> Call<CommandPrinted> {
        let output = ran.map_err(|e| match e {
            CommandError::TimedOut { .. } => Refusal::TimedOut(e.to_string()),
            e => Refusal::Failed(e.to_string()),
        })?;
        if output.dropped_bytes > 0 {
            let (dropped, kept) = (output.dropped_bytes, meaning.output_bytes_max);
            let text =
                format!("{name}: {dropped} bytes of output were dropped; its `output` keeps {kept} of each stream");
            self.ledger.line("warn", &text)?;
        }
        if output.output_is_held {
            self.ledger.line("warn", &format!("{name}: a process that it left behind still has its output open"))?;
        }
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ok(CommandPrinted { stdout: text(output.stdout), stderr: text(output.stderr) })
    }

    /// Refuses a program, or a script, that a step of the story could make another one. Planning asks as well.
    pub(super) fn demand_unchangeable(&mut self, what: &str, argv: &[String]) -> Call<()> {
        let files = match command::deciding_files(&self.world.site, argv) {
            Ok(files) => files,
            Err(e) => return Err(Refusal::Failed(e.to_string()).into()),
        };
        self.demand_unchanged(what, &files)
    }

    pub(super) fn demand_unchanged(&mut self, what: &str, files: &[PathBuf]) -> Call<()> {
        for file in files {
            for place in self.places(file) {
                let could =
                    self.world.grants.iter().find_map(|grant| Some((grant.unit(), grant.could_change(&place)?)));
                if let Some((unit, right)) = could {
                    let rule = format!(
                        "{} decides what runs, and `{unit}` could change it by its `files.{right}`; keep programs out of what a story changes",
                        super::show(&place)
                    );
                    let denial = self.denial(what.to_owned(), &rule);
                    return Err(self.deny_call(denial));
                }
            }
        }
        Ok(())
    }

    /// What `file` is called in the folders of policy.
    fn places(&self, file: &Path) -> Vec<Place> {
        let below = self.world.on_disk.iter().filter_map(|(folder, path)| {
            let path = file.strip_prefix(path).ok()?;
            Some(Place { folder: folder.clone(), path: path.components().collect() })
        });
        below.collect()
    }
}
