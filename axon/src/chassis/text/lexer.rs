//! Words and signs of a graph's text, with their places.

use super::{Position, TextError};

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    Name(String),
    Number(String),
    Text(String),
    /// `->`
    Arrow,
    /// `(` that follows a name directly: arguments.
    Arguments,
    /// One of `= . | ( ) { } ,`
    Sign(char),
    End,
}

/// Splits a text into tokens; white space, comments and semicolons only separate them.
pub(super) struct Lexer<'a> {
    rest: std::iter::Peekable<std::str::Chars<'a>>,
    at: Position,
    /// Whether a name has just ended here.
    after_name: bool,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { rest: text.chars().peekable(), at: Position { line: 1, column: 1 }, after_name: false }
    }

    /// All tokens, the last one being the end.
    pub(super) fn tokens(mut self) -> Result<Vec<(Token, Position)>, TextError> {
        let mut all = Vec::new();
        loop {
            self.skip_separators();
            let at = self.at;
            let token = self.token()?;
            let last = token == Token::End;
            all.push((token, at));
            if last {
                return Ok(all);
            }
        }
    }

    fn next(&mut self) -> Option<char> {
        let c = self.rest.next()?;
        self.after_name &= c == '(';
        if c == '\n' {
            self.at = Position { line: self.at.line + 1, column: 1 };
        } else {
            self.at.column += 1;
        }
        Some(c)
    }

    fn skip_separators(&mut self) {
        while let Some(&c) = self.rest.peek() {
            if c == '#' {
                while self.rest.peek().is_some_and(|c| *c != '\n') {
                    self.next();
                }
            } else if c.is_whitespace() || c == ';' {
                self.next();
            } else {
                break;
            }
        }
    }

    fn token(&mut self) -> Result<Token, TextError> {
        let at = self.at;
        let Some(c) = self.next() else { return Ok(Token::End) };
        let after_name = std::mem::take(&mut self.after_name);
        match c {
            '(' if after_name => Ok(Token::Arguments),
            '=' | '.' | '|' | '(' | ')' | '{' | '}' | ',' => Ok(Token::Sign(c)),
            '"' => self.text(at),
            '-' if self.rest.peek() == Some(&'>') => {
                self.next();
                Ok(Token::Arrow)
            }
            '-' if self.rest.peek().is_some_and(char::is_ascii_digit) => Ok(Token::Number(self.number(c))),
            '0'..='9' => Ok(Token::Number(self.number(c))),
            'a'..='z' | 'A'..='Z' | '_' => {
                let mut name = String::from(c);
                while let Some(c) = self.rest.next_if(|c| c.is_ascii_alphanumeric() || *c == '_') {
                    self.at.column += 1;
                    name.push(c);
                }
                self.after_name = true;
                Ok(Token::Name(name))
            }
            _ => Err(TextError::new(at, format!("{c:?} has no meaning here"))),
        }
    }

    /// Digits, and once a point with digits behind it.
    fn number(&mut self, first: char) -> String {
        let mut number = String::from(first);
        let mut point = false;
        while let Some(&c) = self.rest.peek() {
            if c == '.' && !point {
                let mut ahead = self.rest.clone();
                ahead.next();
                if !ahead.next().is_some_and(|c| c.is_ascii_digit()) {
                    break;
                }
                point = true;
            } else if !c.is_ascii_digit() {
                break;
            }
            self.next();
            number.push(c);
        }
        number
    }

    fn text(&mut self, start: Position) -> Result<Token, TextError> {
        let mut text = String::new();
        loop {
            let at = self.at;
            match self.next() {
                Some('"') => return Ok(Token::Text(text)),
                Some('\\') => {
                    let c = match self.next() {
                        Some('n') => '\n',
                        Some('r') => '\r',
                        Some('t') => '\t',
                        Some(c @ ('"' | '\\')) => c,
                        Some('u') => self.code(at)?,
                        Some(c) => {
                            let known = r#"\n, \r, \t, \", \\, \u{…}"#;
                            return Err(TextError::new(
                                at,
                                format!("unknown escape \\{c}; there are {known}"),
                            ));
                        }
                        None => break,
                    };
                    text.push(c);
                }
                Some(c) => text.push(c),
                None => break,
            }
        }
        Err(TextError::new(start, "a text without a closing quotation mark"))
    }

    /// The braces of `\u{1f600}`, with up to six hexadecimal digits.
    fn code(&mut self, at: Position) -> Result<char, TextError> {
        let mut digits = String::new();
        if self.next() == Some('{') {
            while let Some(c) = self.next() {
                if c == '}' {
                    break;
                }
                digits.push(c);
                if digits.len() > 6 {
                    break;
                }
            }
        }
        let code = u32::from_str_radix(&digits, 16).ok().filter(|_| !digits.starts_with('+'));
        code.and_then(char::from_u32)
            .ok_or_else(|| TextError::new(at, format!("\\u{{{}}} is no character", digits.escape_debug())))
    }
}
