//! From text to typed expressions: tokens, then recursive descent.

use std::fmt::Write as _;

use super::{Arithmetic, Comparison, Condition, Function, Meaning, Names, Number};

/// Deepest nesting of an expression, so that a hostile file can't exhaust the stack.
const MAX_DEPTH: usize = 64;
/// Longest expression, in bytes.
const MAX_LENGTH: usize = 4096;
/// Characters of an expression that an error shows.
const MAX_SHOWN: usize = 72;
/// Names or values that an error lists.
const MAX_LISTED: usize = 16;
/// Most operands of an expression: a chain of operators nests as deeply as it is long.
const MAX_OPERANDS: usize = 500;

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Number(f64),
    Name(String),
    Text(String),
    Symbol(&'static str),
    End,
}

const SYMBOLS: [&str; 16] =
    ["<=", ">=", "==", "!=", "//", "<", ">", "+", "-", "*", "/", "%", "(", ")", ",", "="];

const FUNCTIONS: [&str; 6] = ["min", "max", "abs", "ceil", "floor", "log2"];

const LONE_TEXT: &str = "a text compares with a categorical parameter only";

/// An expression with its type.
pub(super) enum Typed {
    Number(Number),
    Condition(Condition),
    Category(Category),
    Text(String),
}

/// A categorical parameter: its name, its position and its values.
pub(super) struct Category {
    name: String,
    parameter: usize,
    values: Vec<String>,
}

impl Typed {
    pub(super) fn describe(&self) -> &'static str {
        match self {
            Self::Number(_) => "a number",
            Self::Condition(_) => "a condition",
            Self::Category(_) => "a categorical parameter",
            Self::Text(_) => "a text",
        }
    }
}

impl Category {
    /// What is wrong where it is used otherwise than to compare it with a text.
    fn lone(&self) -> String {
        let values = listed(self.values.iter().map(String::as_str));
        format!("`{}` is categorical: it compares by == or != with one of its texts: {values}", self.name)
    }
}

struct Parser<'a> {
    text: &'a str,
    names: &'a Names,
    tokens: Vec<(Token, usize)>,
    next: usize,
    depth: usize,
    operands: usize,
}

/// The message with the place in the text: its column, and below the text with a caret.
pub(super) fn located(text: &str, at: usize, message: &str) -> String {
    let column = text[..at.min(text.len())].chars().count() + 1;
    let start = if text.chars().count() > MAX_SHOWN { column.saturating_sub(MAX_SHOWN / 2) } else { 0 };
    // A text may have several lines.
    let mut shown = text.chars().map(|letter| if letter.is_whitespace() { ' ' } else { letter }).skip(start);
    let excerpt: String = shown.by_ref().take(MAX_SHOWN).collect();
    let (before, after) =
        (if start > 0 { "..." } else { "" }, if shown.next().is_some() { "..." } else { "" });
    let indent = " ".repeat(before.len() + column - 1 - start);
    format!("{message} (column {column})\n    {before}{excerpt}{after}\n    {indent}^")
}

/// A list for an error, shortened where it is long.
fn listed<'a>(all: impl ExactSizeIterator<Item = &'a str>) -> String {
    let rest = all.len().saturating_sub(MAX_LISTED);
    let shown: Vec<&str> = all.take(MAX_LISTED).collect();
    let more = if rest > 0 { format!(" and {rest} more") } else { String::new() };
    format!("{}{more}", shown.join(", "))
}

/// Parses a whole expression.
pub(super) fn parse(text: &str, names: &Names) -> Result<Typed, String> {
    if text.len() > MAX_LENGTH {
        return Err(format!("the expression has {} bytes, at most {MAX_LENGTH} are allowed", text.len()));
    }
    let mut parser = Parser { text, names, tokens: tokens(text)?, next: 0, depth: 0, operands: 0 };
    let typed = parser.disjunction()?;
    match parser.peek() {
        Token::End => Ok(typed),
        _ => Err(parser.unexpected("an operator or the end")),
    }
}

fn tokens(text: &str) -> Result<Vec<(Token, usize)>, String> {
    let bytes = text.as_bytes();
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &text[at..];
        let byte = bytes[at];
        if byte.is_ascii_whitespace() {
            at += 1;
        } else if byte.is_ascii_digit() || byte == b'.' {
            let mut end = at;
            while end < bytes.len()
                && (bytes[end].is_ascii_alphanumeric()
                    || bytes[end] == b'.'
                    || bytes[end] == b'_'
                    || (matches!(bytes[end], b'+' | b'-') && matches!(bytes[end - 1], b'e' | b'E')))
            {
                end += 1;
            }
            let digits = text[at..end].replace('_', "");
            let value: f64 = digits
                .parse()
                .map_err(|_| located(text, at, &format!("`{}` is not a number", &text[at..end])))?;
            if !value.is_finite() {
                return Err(located(text, at, "the number is too large"));
            }
            found.push((Token::Number(value), at));
            at = end;
        } else if byte.is_ascii_alphabetic() || byte == b'_' {
            let length = rest.bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count();
            found.push((Token::Name(rest[..length].to_owned()), at));
            at += length;
        } else if byte == b'"' || byte == b'\'' {
            let Some(length) = rest[1..].find(char::from(byte)) else {
                return Err(located(text, at, "this text has no closing quote"));
            };
            found.push((Token::Text(rest[1..=length].to_owned()), at));
            at += length + 2;
        } else if let Some(symbol) = SYMBOLS.into_iter().find(|symbol| rest.starts_with(symbol)) {
            if symbol == "=" {
                return Err(located(text, at, "`=` is not a comparison; write `==`"));
            }
            found.push((Token::Symbol(symbol), at));
            at += symbol.len();
        } else {
            let character = rest.chars().next().unwrap_or('?');
            return Err(located(text, at, &format!("unexpected character `{character}`")));
        }
    }
    found.push((Token::End, text.len()));
    Ok(found)
}

impl Parser<'_> {
    fn peek(&self) -> &Token {
        &self.tokens[self.next].0
    }

    fn at(&self) -> usize {
        self.tokens[self.next].1
    }

    fn advance(&mut self) -> Token {
        let token = self.tokens[self.next].0.clone();
        if token != Token::End {
            self.next += 1;
        }
        token
    }

    fn accept(&mut self, symbol: &str) -> bool {
        let found = matches!(self.peek(), Token::Symbol(s) if *s == symbol)
            || matches!(self.peek(), Token::Name(name) if name == symbol);
        if found {
            self.next += 1;
        }
        found
    }

    fn error<T>(&self, at: usize, message: &str) -> Result<T, String> {
        Err(located(self.text, at, message))
    }

    fn unexpected(&self, wanted: &str) -> String {
        let mut message = format!("expected {wanted}, found ");
        let _ = match self.peek() {
            Token::Number(value) => write!(message, "`{value}`"),
            Token::Name(name) => write!(message, "`{name}`"),
            Token::Text(text) => write!(message, "\"{text}\""),
            Token::Symbol(symbol) => write!(message, "`{symbol}`"),
            Token::End => write!(message, "the end"),
        };
        located(self.text, self.at(), &message)
    }

    fn number(&self, typed: Typed, at: usize) -> Result<Number, String> {
        match typed {
            Typed::Number(number) => Ok(number),
            Typed::Category(category) => self.error(at, &category.lone()),
            Typed::Condition(Condition::Rank { .. } | Condition::Literal(_)) => self.error(
                at,
                "expected a number, found what is true or false, which stands by itself: `x` or `not x`",
            ),
            other => self.error(at, &format!("expected a number, found {}", other.describe())),
        }
    }

    fn condition(&self, typed: Typed, at: usize) -> Result<Condition, String> {
        match typed {
            Typed::Condition(condition) => Ok(condition),
            Typed::Category(category) => self.error(at, &category.lone()),
            other => self.error(at, &format!("expected a condition, found {}", other.describe())),
        }
    }

    fn deeper<T>(&mut self, parse: impl FnOnce(&mut Self) -> Result<T, String>) -> Result<T, String> {
        if self.depth == MAX_DEPTH {
            return self.error(self.at(), "the expression is nested too deeply");
        }
        self.depth += 1;
        let parsed = parse(self);
        self.depth -= 1;
        parsed
    }

    fn disjunction(&mut self) -> Result<Typed, String> {
        let mut at = self.at();
        let mut left = self.deeper(Self::conjunction)?;
        while self.accept("or") {
            let a = self.condition(left, at)?;
            at = self.at();
            let right = self.deeper(Self::conjunction)?;
            left = Typed::Condition(Condition::Or(Box::new(a), Box::new(self.condition(right, at)?)));
        }
        Ok(left)
    }

    fn conjunction(&mut self) -> Result<Typed, String> {
        let mut at = self.at();
        let mut left = self.negation()?;
        while self.accept("and") {
            let a = self.condition(left, at)?;
            at = self.at();
            let right = self.negation()?;
            left = Typed::Condition(Condition::And(Box::new(a), Box::new(self.condition(right, at)?)));
        }
        Ok(left)
    }

    fn negation(&mut self) -> Result<Typed, String> {
        if self.accept("not") {
            let at = self.at();
            let inner = self.deeper(Self::negation)?;
            return Ok(Typed::Condition(self.condition(inner, at)?.negated()));
        }
        self.comparison()
    }

    fn comparison(&mut self) -> Result<Typed, String> {
        let at = self.at();
        let left = self.sum()?;
        let Token::Symbol(symbol @ ("<=" | "<" | ">=" | ">" | "==" | "!=")) = *self.peek() else {
            return Ok(left);
        };
        self.next += 1;
        let right_at = self.at();
        let right = self.sum()?;
        if let Token::Symbol("<=" | "<" | ">=" | ">" | "==" | "!=") = self.peek() {
            return self.error(self.at(), "comparisons don't chain; join two with `and`");
        }
        let (category, text, text_at) = match (left, right) {
            (Typed::Category(category), Typed::Text(text)) => (category, text, right_at),
            (Typed::Text(text), Typed::Category(category)) => (category, text, at),
            (Typed::Category(category), _) => return self.error(at, &category.lone()),
            (_, Typed::Category(category)) => return self.error(right_at, &category.lone()),
            (Typed::Text(_), _) => return self.error(at, LONE_TEXT),
            (_, Typed::Text(_)) => return self.error(right_at, LONE_TEXT),
            (left, right) => {
                let (a, b) = (self.number(left, at)?, self.number(right, right_at)?);
                return Ok(Typed::Condition(match symbol {
                    "<=" => Condition::Compare(Comparison::LessEqual, a, b),
                    "<" => Condition::Compare(Comparison::Less, a, b),
                    ">=" => Condition::Compare(Comparison::LessEqual, b, a),
                    ">" => Condition::Compare(Comparison::Less, b, a),
                    "==" => Condition::Compare(Comparison::Equal, a, b),
                    _ => Condition::Compare(Comparison::NotEqual, a, b),
                }));
            }
        };
        if symbol != "==" && symbol != "!=" {
            return self.error(at, "texts compare by == and != only");
        }
        let Some(rank) = category.values.iter().position(|value| *value == text) else {
            let known = || category.values.iter().map(String::as_str);
            let hint = crate::suggest::did_you_mean(&text, known());
            let message =
                format!("\"{text}\" is no value of `{}`{hint}; known: {}", category.name, listed(known()));
            return self.error(text_at, &message);
        };
        Ok(Typed::Condition(Condition::Rank { parameter: category.parameter, rank, equal: symbol == "==" }))
    }

    fn sum(&mut self) -> Result<Typed, String> {
        self.chain(&[("+", Arithmetic::Add), ("-", Arithmetic::Subtract)], Self::product)
    }

    fn product(&mut self) -> Result<Typed, String> {
        let operators = [
            ("*", Arithmetic::Multiply),
            ("//", Arithmetic::FloorDivide),
            ("/", Arithmetic::Divide),
            ("%", Arithmetic::Modulo),
        ];
        self.chain(&operators, Self::unary)
    }

    fn chain(
        &mut self,
        operators: &[(&str, Arithmetic)],
        operand: fn(&mut Self) -> Result<Typed, String>,
    ) -> Result<Typed, String> {
        let mut at = self.at();
        let mut left = operand(self)?;
        while let Some((_, operator)) = operators.iter().find(|(symbol, _)| self.accept(symbol)) {
            let a = self.number(left, at)?;
            at = self.at();
            let right = operand(self)?;
            let b = self.number(right, at)?;
            left = Typed::Number(Number::Arithmetic(*operator, Box::new(a), Box::new(b)));
        }
        Ok(left)
    }

    fn unary(&mut self) -> Result<Typed, String> {
        if self.accept("-") {
            let at = self.at();
            let inner = self.deeper(Self::unary)?;
            return Ok(Typed::Number(Number::Negate(Box::new(self.number(inner, at)?))));
        }
        self.primary()
    }

    fn primary(&mut self) -> Result<Typed, String> {
        let at = self.at();
        self.operands += 1;
        if self.operands > MAX_OPERANDS {
            return self.error(at, &format!("the expression has more than {MAX_OPERANDS} operands"));
        }
        match self.peek().clone() {
            Token::Number(value) => {
                self.advance();
                Ok(Typed::Number(Number::Literal(value)))
            }
            Token::Text(text) => {
                self.advance();
                Ok(Typed::Text(text))
            }
            Token::Symbol("(") => {
                self.advance();
                let inner = self.deeper(Self::disjunction)?;
                if self.accept(")") { Ok(inner) } else { Err(self.unexpected("`)`")) }
            }
            Token::Name(name) => {
                self.advance();
                if self.accept("(") {
                    return self.call(&name, at);
                }
                self.meaning(&name, at)
            }
            _ => Err(self.unexpected("a number or a name")),
        }
    }

    fn meaning(&self, name: &str, at: usize) -> Result<Typed, String> {
        match (name, self.names.get(name)) {
            ("true" | "false", _) => Ok(Typed::Condition(Condition::Literal(name == "true"))),
            (_, Some(Meaning::NumericParameter(parameter))) => {
                Ok(Typed::Number(Number::Parameter(*parameter)))
            }
            (_, Some(Meaning::Condition(condition))) => Ok(Typed::Condition(condition.clone())),
            (_, Some(Meaning::TextParameter(parameter, values))) => {
                let (parameter, values) = (*parameter, values.clone());
                Ok(Typed::Category(Category { name: name.to_owned(), parameter, values }))
            }
            (_, Some(Meaning::Number(number))) => Ok(Typed::Number(number.clone())),
            (_, None) => {
                let known = || self.names.keys().map(String::as_str);
                let with_value = self.names.iter().find(|(_, meaning)| {
                    matches!(meaning, Meaning::TextParameter(_, values) if values.iter().any(|value| value == name))
                });
                let hint = match with_value {
                    Some((parameter, _)) => {
                        format!("; as a value of `{parameter}` it needs quotes: '{name}'")
                    }
                    None => crate::suggest::did_you_mean(name, known()),
                };
                self.error(at, &format!("unknown name `{name}`{hint}; known: {}", listed(known())))
            }
        }
    }

    fn call(&mut self, name: &str, at: usize) -> Result<Typed, String> {
        let (function, arguments) = match name {
            "min" => (Function::Min, 2..=usize::MAX),
            "max" => (Function::Max, 2..=usize::MAX),
            "abs" => (Function::Abs, 1..=1),
            "ceil" => (Function::Ceil, 1..=1),
            "floor" => (Function::Floor, 1..=1),
            "log2" => (Function::Log2, 1..=1),
            _ => {
                let hint = crate::suggest::did_you_mean(name, FUNCTIONS);
                let known = FUNCTIONS.join(", ");
                return self.error(at, &format!("unknown function `{name}`{hint}; known: {known}"));
            }
        };
        let mut given = Vec::new();
        loop {
            let argument_at = self.at();
            let argument = self.deeper(Self::disjunction)?;
            given.push(self.number(argument, argument_at)?);
            if self.accept(")") {
                break;
            }
            if !self.accept(",") {
                return Err(self.unexpected("`,` or `)`"));
            }
        }
        if !arguments.contains(&given.len()) {
            let wanted = if *arguments.start() == 1 { "one argument" } else { "at least two arguments" };
            return self.error(at, &format!("`{name}` takes {wanted}, found {}", given.len()));
        }
        Ok(Typed::Number(Number::Call(function, given)))
    }
}
