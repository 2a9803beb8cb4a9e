//! The words of notices: the shipped templates, and those of a site's policy. What a template names and there is not is an
//! error, found when the policy is read; HTML is escaped by itself.

use super::told::Told;
use minijinja::{Environment, UndefinedBehavior, Value, value::Serde};
use std::collections::BTreeSet;
use unship_policy::{ChannelKind, NoticeRule, NoticesPolicy};
use unship_rollback::{incident::NoticeEvent, neutralise};

/// The seed's templates, and one for what the seed never told.
const LINES: [(&str, &str); 3] = [
    (
        "initiated",
        "{% if automatic %}CRITICAL: Story {{ story_id }} auto-rollback in progress{% else %}Story {{ story_id }} rollback in progress: {{ details }}{% endif %}",
    ),
    ("rollback", "Rollback {{ story_id }}: {{ status }} - {{ details }}"),
    ("plain", "{{ site }}: {{ status }} - {{ details }}"),
];
const MAIL_TEXT: (&str, &str) = ("mail.txt", include_str!("templates/mail.txt"));
/// What the shipped HTML parts have in common; a site's own may stand on it as well.
const LAYOUT: (&str, &str) = ("mail_layout.html", include_str!("templates/mail_layout.html"));
/// The shipped HTML parts, by the names that a policy may give files of its own.
pub const SHIPPED_MAIL: [(&str, &str); 2] = [
    ("rollback_complete_email.html", include_str!("templates/rollback_complete_email.html")),
    ("notice_email.html", include_str!("templates/notice_email.html")),
];

/// A notice's line, whatever a template makes of it, has so many characters at most.
const LINE_CHARS_MAX: usize = 1000;

/// A template is not to be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the template {template} of a notice is not to be used: {why}")]
pub struct WordsError {
    /// Its file, or its own text.
    pub template: String,
    /// Why, with the line where that is known.
    pub why: String,
}

/// See the module.
#[derive(Debug)]
pub struct Words {
    templates: Environment<'static>,
}

/// How a site's own line is kept: by its text.
fn own(template: &str) -> String {
    format!("line:{template}")
}

/// How a site's own HTML is kept.
fn file(name: &str) -> String {
    format!("notices/{name}")
}

impl Words {
    pub(super) fn new(
        policy: &NoticesPolicy,
        mut html: impl FnMut(&str) -> Result<String, String>,
    ) -> Result<Words, WordsError> {
        let mut templates = Environment::new();
        templates.set_undefined_behavior(UndefinedBehavior::Strict);
        templates.set_recursion_limit(20);
        let mut words = Words { templates };
        for (name, text) in LINES.into_iter().chain([MAIL_TEXT, LAYOUT]).chain(SHIPPED_MAIL) {
            words.add(name.to_owned(), text.to_owned(), name)?;
        }
        let mut seen = BTreeSet::new();
        for notice in &policy.notices {
            if let Some(line) = &notice.template
                && seen.insert(own(line))
            {
                words.add(own(line), line.clone(), line)?;
            }
            if let Some(name) = &notice.html
                && seen.insert(file(name))
            {
                let text = html(name).map_err(|why| WordsError { template: file(name), why })?;
                words.add(file(name), text, name)?;
            }
            for event in &notice.events {
                let told = Told::sample(*event);
                words.line(Some(notice), *event, &told)?;
                if matches!(policy.channels.get(&notice.channel).map(|c| &c.kind), Some(ChannelKind::Smtp { .. })) {
                    words.html(Some(notice), *event, &told)?;
                }
            }
        }
        Ok(words)
    }

    fn add(&mut self, name: String, text: String, shown: &str) -> Result<(), WordsError> {
        let added = self.templates.add_template_owned(name, text);
        added.map_err(|e| WordsError { template: shown.to_owned(), why: neutralise(&e.to_string()) })
    }

    fn render(&self, name: &str, told: &Told) -> Result<String, WordsError> {
        let rendered = self.templates.get_template(name).and_then(|template| template.render(Value::from(Serde(told))));
        rendered.map_err(|e| WordsError { template: name.to_owned(), why: neutralise(&e.to_string()) })
    }

    /// The notice in one line, by the rule that it goes by.
    pub(super) fn line(
        &self,
        rule: Option<&NoticeRule>,
        event: NoticeEvent,
        told: &Told,
    ) -> Result<String, WordsError> {
        let name = match (rule.and_then(|rule| rule.template.as_deref()), event) {
            (Some(line), _) => own(line),
            (None, NoticeEvent::Initiated) => "initiated".to_owned(),
            (None, _) if told.incident.is_empty() && told.run.is_empty() => "plain".to_owned(),
            (None, _) => "rollback".to_owned(),
        };
        let line = neutralise(self.render(&name, told)?.trim());
        Ok(line.chars().take(LINE_CHARS_MAX).collect())
    }

    /// The text of a mail.
    pub(super) fn text(&self, told: &Told) -> Result<String, WordsError> {
        self.render(MAIL_TEXT.0, told)
    }

    /// The same as HTML.
    pub(super) fn html(
        &self,
        rule: Option<&NoticeRule>,
        event: NoticeEvent,
        told: &Told,
    ) -> Result<String, WordsError> {
        let own = rule.and_then(|rule| rule.html.as_deref());
        let shipped = if event == NoticeEvent::Complete { SHIPPED_MAIL[0].0 } else { SHIPPED_MAIL[1].0 };
        self.render(&own.map_or_else(|| shipped.to_owned(), file), told)
    }
}
