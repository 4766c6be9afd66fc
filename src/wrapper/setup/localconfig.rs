//! Where launch options stand in Steam's `localconfig.vdf`, and how they are changed there.
//!
//! Steam keeps much else in that file. So it is read for the places of what we look for, and only these bytes are
//! exchanged: everything else stays as Steam wrote it.

use std::collections::BTreeMap;
use std::ops::Range;

use vdf_reader::Event;
use vdf_reader::Reader;
use vdf_reader::VdfError;

/// The sections in which games stand, whatever the case of their letters.
const PATH: [&str; 5] = ["UserLocalConfigStore", "Software", "Valve", "Steam", "apps"];
const KEY: &str = "LaunchOptions";

/// Why a file can't be read, and where.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Broken {
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// What is wrong there.
    pub what: String,
}

impl Broken {
    /// `what` is wrong after the text `before`.
    #[must_use]
    pub fn after(before: &str, what: impl Into<String>) -> Self {
        let line_start = before.rfind('\n').map_or(0, |end| end + 1);
        let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
        Self { line, column: before[line_start..].chars().count() + 1, what: what.into() }
    }

    fn at(text: &str, offset: usize, what: impl Into<String>) -> Self {
        Self::after(text.get(..offset).unwrap_or(text), what)
    }

    fn from_vdf(text: &str, offset: usize, error: &VdfError) -> Self {
        let offset = error.span().map_or(offset, |span| span.offset());
        let what = match error {
            VdfError::NoValidToken(_) => "a quote that is not closed, or no VDF at all".to_owned(),
            VdfError::UnexpectedToken(error) => match &error.found {
                Some(token) => format!("an unexpected {token}"),
                None => "a key without a value at the end".to_owned(),
            },
            _ => "no VDF".to_owned(),
        };
        Self::at(text, offset, what)
    }
}

/// What a file says of one game.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Found {
    /// Nothing.
    Unlisted,
    /// It is listed, with these launch options; `None`: it has never had any.
    Listed(Option<String>),
}

/// The launch options of some games.
#[derive(Debug)]
pub struct LocalConfig<'a> {
    text: &'a str,
    wanted: BTreeMap<String, Vec<App>>,
    apps: Option<Section>,
}

/// Where a section begins and ends.
#[derive(Clone, Debug, Default)]
struct Section {
    /// After its opening brace.
    start: usize,
    /// Before its closing brace.
    end: usize,
    /// Where what is in it first begins.
    first_entry: Option<usize>,
}

#[derive(Debug, Default)]
struct App {
    section: Section,
    options: Option<Value>,
    /// Why nothing can be changed in it.
    oddity: Option<&'static str>,
}

#[derive(Debug)]
struct Value {
    span: Range<usize>,
    text: String,
}

impl<'a> LocalConfig<'a> {
    /// Reads `text` for the games `wanted`.
    ///
    /// # Errors
    /// When it is no VDF from the first to the last byte.
    pub fn read(text: &'a str, wanted: &[u32]) -> Result<Self, Broken> {
        let wanted = wanted.iter().map(|app| (app.to_string(), Vec::new())).collect();
        let mut config = Self { text, wanted, apps: None };
        let mut walk = Walk { config: &mut config, depth: 0, matched: 0, open_app: None };
        let mut reader = Reader::from(text);
        while let Some(event) = reader.event() {
            let event = event.map_err(|error| Broken::from_vdf(text, reader.span().start, &error))?;
            walk.visit(event)?;
        }
        if walk.depth > 0 {
            return Err(Broken::after(text, "the end of the file within a section"));
        }
        Ok(config)
    }

    /// What the file says of `app`, which was wanted.
    ///
    /// # Errors
    /// One sentence when that is not clear.
    pub fn find(&self, app: u32) -> Result<Found, String> {
        match self.wanted.get(&app.to_string()).map_or(&[][..], Vec::as_slice) {
            [] => Ok(Found::Unlisted),
            [App { oddity: Some(oddity), .. }] => Err((*oddity).to_owned()),
            [app] => Ok(Found::Listed(app.options.as_ref().map(|value| value.text.clone()))),
            _ => Err("stands there more than once".to_owned()),
        }
    }

    /// The whole text, with new launch options for these games.
    ///
    /// # Errors
    /// One sentence when one of them has no place.
    pub fn with(&self, changes: &[(u32, String)]) -> Result<String, String> {
        let mut edits = Vec::new();
        for (app, options) in changes {
            edits.push(self.edit(*app, options)?);
        }
        edits.sort_by_key(|(span, _)| span.start);
        let mut new = String::with_capacity(self.text.len() + edits.iter().map(|(_, text)| text.len()).sum::<usize>());
        let mut kept_from = 0;
        for (span, text) in edits {
            new.push_str(&self.text[kept_from..span.start]);
            new.push_str(&text);
            kept_from = span.end;
        }
        new.push_str(&self.text[kept_from..]);
        self.read_back(&new, changes)?;
        Ok(new)
    }

    /// Steam must find what we have written, whatever the file looks like.
    fn read_back(&self, new: &str, changes: &[(u32, String)]) -> Result<(), String> {
        let wanted: Vec<u32> = changes.iter().map(|(app, _)| *app).collect();
        let config = LocalConfig::read(new, &wanted).map_err(|broken| broken.what)?;
        let is_there = |(app, options): &(u32, String)| config.find(*app) == Ok(Found::Listed(Some(options.clone())));
        if changes.iter().all(is_there) { Ok(()) } else { Err("what was to be written does not read back".to_owned()) }
    }

    fn edit(&self, app: u32, options: &str) -> Result<(Range<usize>, String), String> {
        let value = format!("\"{}\"", escaped(options));
        let line = format!("\"{KEY}\"\t\t{value}");
        match (self.find(app)?, self.wanted.get(&app.to_string()).and_then(|apps| apps.first()), &self.apps) {
            (Found::Listed(Some(_)), Some(App { options: Some(old), .. }), _) => Ok((old.span.clone(), value)),
            (Found::Listed(_), Some(app), _) => Ok(self.insertion(&app.section, &[(0, line)])),
            (_, _, Some(apps)) => {
                let lines = [(0, format!("\"{app}\"")), (0, "{".to_owned()), (1, line), (0, "}".to_owned())];
                Ok(self.insertion(apps, &lines))
            }
            _ => Err(format!("app {app} has no place, since there is no section {}", PATH.join("/"))),
        }
    }

    /// Lines, each with its depth, at the end of `section`, indented as what is in it already.
    fn insertion(&self, section: &Section, lines: &[(usize, String)]) -> (Range<usize>, String) {
        let body = &self.text[section.start..section.end];
        let end_of_line = if self.text[..section.end].rsplit('\n').nth(1).is_some_and(|line| line.ends_with('\r')) {
            "\r\n"
        } else {
            "\n"
        };
        let outer = self.indentation(section.end);
        let first = section.first_entry.filter(|first| self.text[section.start..*first].contains('\n'));
        let inner = first.map_or_else(|| format!("{outer}\t"), |first| self.indentation(first).to_owned());
        let step = inner.strip_prefix(outer).filter(|step| !step.is_empty()).unwrap_or("\t");
        let mut new = String::new();
        for (depth, line) in lines {
            new.extend([inner.as_str(), &step.repeat(*depth), line, end_of_line]);
        }
        let last_line = body.rsplit_once('\n').map(|(_, last)| last);
        match last_line.filter(|last| last.chars().all(is_blank)) {
            Some(margin) => {
                let at = section.end - margin.len();
                (at..at, new)
            }
            None => (section.end..section.end, format!("{end_of_line}{new}{outer}")),
        }
    }

    /// The blanks with which the line of `offset` begins.
    fn indentation(&self, offset: usize) -> &'a str {
        let line = self.text[..offset].rfind('\n').map_or(self.text, |end| &self.text[end + 1..]);
        &line[..line.find(|c| !is_blank(c)).unwrap_or(line.len())]
    }
}

/// The way through a file.
struct Walk<'a, 'b> {
    config: &'b mut LocalConfig<'a>,
    /// How many sections are open.
    depth: usize,
    /// How many of these, from the outermost on, are those of [`PATH`].
    matched: usize,
    open_app: Option<(String, App)>,
}

impl Walk<'_, '_> {
    fn visit(&mut self, event: Event) -> Result<(), Broken> {
        match event {
            Event::GroupStart(group) => {
                self.note_entry(group.span.start);
                self.open(&group.name, group.span.end);
            }
            Event::Entry(entry) => {
                self.note_entry(entry.span.start);
                if self.is_in_apps() {
                    self.odd_app(entry.key.as_str());
                } else if self.is_in_app() && entry.key.as_str().eq_ignore_ascii_case(KEY) {
                    let span = entry.value.span();
                    self.note_options(Value { span, text: entry.value.into_content().into_owned() });
                }
            }
            Event::GroupEnd(end) => self.close(end.span.start)?,
            Event::ValueContinuation(more) => {
                return Err(Broken::at(self.config.text, more.span.start, "more than a key and a value on a line"));
            }
        }
        Ok(())
    }

    fn is_in_apps(&self) -> bool {
        self.matched == PATH.len() && self.depth == PATH.len()
    }

    fn is_in_app(&self) -> bool {
        self.depth == PATH.len() + 1 && self.open_app.is_some()
    }

    fn note_entry(&mut self, offset: usize) {
        let section = if self.is_in_apps() {
            self.config.apps.as_mut().filter(|apps| apps.end == 0)
        } else if self.is_in_app() {
            self.open_app.as_mut().map(|(_, app)| &mut app.section)
        } else {
            None
        };
        if let Some(section) = section {
            section.first_entry.get_or_insert(offset);
        }
    }

    fn open(&mut self, name: &str, start: usize) {
        let section = Section { start, ..Section::default() };
        if self.is_in_apps() && self.config.wanted.contains_key(name) {
            self.open_app = Some((name.to_owned(), App { section, ..App::default() }));
        } else if self.is_in_app() && name.eq_ignore_ascii_case(KEY) {
            self.odd_options("has a section where its launch options should be");
        } else if self.matched == self.depth && PATH.get(self.depth).is_some_and(|key| name.eq_ignore_ascii_case(key)) {
            self.matched += 1;
            if self.matched == PATH.len() {
                self.config.apps.get_or_insert(section);
            }
        }
        self.depth += 1;
    }

    fn close(&mut self, end: usize) -> Result<(), Broken> {
        if self.is_in_apps() {
            self.config.apps.as_mut().filter(|apps| apps.end == 0).into_iter().for_each(|apps| apps.end = end);
        } else if self.is_in_app()
            && let Some((name, mut app)) = self.open_app.take()
        {
            app.section.end = end;
            self.config.wanted.entry(name).or_default().push(app);
        }
        let Some(depth) = self.depth.checked_sub(1) else {
            return Err(Broken::at(self.config.text, end, "a closing brace too many"));
        };
        self.depth = depth;
        self.matched = self.matched.min(depth);
        Ok(())
    }

    fn note_options(&mut self, value: Value) {
        let written = &self.config.text[value.span.clone()];
        let inner = written.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(written);
        let is_plain = escaped(&value.text) == inner;
        let Some((_, app)) = &mut self.open_app else { return };
        if app.options.is_some() {
            self.odd_options("has launch options more than once");
        } else if !is_plain {
            self.odd_options("has launch options with an escape other than \\\\ and \\\"");
        } else {
            app.options = Some(value);
        }
    }

    fn odd_options(&mut self, oddity: &'static str) {
        if let Some((_, app)) = &mut self.open_app {
            app.oddity = Some(oddity);
        }
    }

    fn odd_app(&mut self, name: &str) {
        if let Some(apps) = self.config.wanted.get_mut(name) {
            apps.push(App { oddity: Some("is no section"), ..App::default() });
        }
    }
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t')
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}

#[cfg(test)]
mod tests;
