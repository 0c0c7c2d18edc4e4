//! Results: a table for people, CSV for programs, SVG for the book.

use std::fmt::Write as _;
use std::path::Path;

/// Measurements of one thing in one way.
pub(crate) struct Row {
    pub(crate) program: String,
    pub(crate) executor: String,
    pub(crate) unit: &'static str,
    pub(crate) values: Vec<f64>,
}

/// One curve: how a figure grows with a size.
pub(crate) struct Curve {
    pub(crate) plot: &'static str,
    pub(crate) name: String,
    pub(crate) points: Vec<(f64, f64)>,
}

#[derive(Default)]
pub(crate) struct Report {
    rows: Vec<Row>,
    curves: Vec<Curve>,
}

impl Row {
    fn sorted(&self) -> Vec<f64> {
        let mut values = self.values.clone();
        values.sort_by(f64::total_cmp);
        values
    }

    pub(crate) fn median(&self) -> f64 {
        self.sorted()[self.values.len() / 2]
    }
}

impl Report {
    /// Prints and keeps the rows of one program; ratios are to the first.
    pub(crate) fn rows(&mut self, rows: Vec<Row>) {
        if self.rows.is_empty() {
            println!(
                "| program | executor | median | least | greatest | unit | ratio |\n|---|---|---|---|---|---|---|"
            );
        }
        let ours = rows.first().map_or(1.0, Row::median);
        for row in rows {
            let s = row.sorted();
            println!(
                "| {} | {} | {:.1} | {:.1} | {:.1} | {} | {:.2} |",
                row.program,
                row.executor,
                row.median(),
                s[0],
                s[s.len() - 1],
                row.unit,
                row.median() / ours,
            );
            self.rows.push(row);
        }
    }

    /// One figure, measured once.
    pub(crate) fn figure(&mut self, program: &str, executor: &str, value: f64, unit: &'static str) {
        let row = Row { program: program.into(), executor: executor.into(), unit, values: vec![value] };
        self.rows(vec![row]);
    }

    pub(crate) fn curve(&mut self, plot: &'static str, name: impl Into<String>, points: Vec<(f64, f64)>) {
        self.curves.push(Curve { plot, name: name.into(), points });
    }

    /// Writes `rivals.csv` and one SVG for each plot.
    pub(crate) fn write(&self, folder: &Path) -> std::io::Result<()> {
        std::fs::create_dir_all(folder)?;
        let mut csv = String::from("program,executor,unit,median,least,greatest,runs\n");
        for row in &self.rows {
            let s = row.sorted();
            // Names have commas in them.
            let (program, executor) = (&row.program, &row.executor);
            let (median, least, most) = (row.median(), s[0], s[s.len() - 1]);
            let runs = s.len();
            let _ = writeln!(csv, "\"{program}\",\"{executor}\",{},{median},{least},{most},{runs}", row.unit);
        }
        std::fs::write(folder.join("rivals.csv"), csv)?;
        let mut plots: Vec<&str> = self.curves.iter().map(|c| c.plot).collect();
        plots.dedup();
        for plot in plots {
            let curves: Vec<&Curve> = self.curves.iter().filter(|c| c.plot == plot).collect();
            let words: Vec<&str> =
                plot.split(|c: char| !c.is_ascii_alphanumeric()).filter(|w| !w.is_empty()).collect();
            std::fs::write(folder.join(format!("axon-{}.svg", words.join("-"))), svg(plot, &curves))?;
        }
        Ok(())
    }
}

/// A plot with logarithmic axes, so that what grows in proportion is a line of slope one and what does not grow is level.
fn svg(title: &str, curves: &[&Curve]) -> String {
    let all = || curves.iter().flat_map(|c| &c.points);
    let (x0, x1) = decades(all().map(|p| p.0));
    let (y0, y1) = decades(all().map(|p| p.1));
    let x = |v: f64| 70.0 + (v.log10() - x0) / (x1 - x0) * 480.0;
    let y = |v: f64| 330.0 - (v.log10() - y0) / (y1 - y0) * 280.0;
    let mut out = String::from(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 760 380\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"760\" height=\"380\" fill=\"white\"/>\n",
    );
    let _ = writeln!(out, "<text x=\"70\" y=\"28\" font-size=\"15\">{title}</text>");
    for decade in x0 as i32..=x1 as i32 {
        let at = x(10_f64.powi(decade));
        let _ = writeln!(out, "<path d=\"M{at:.1} 50V330\" stroke=\"#ddd\"/>");
        let text = power(decade);
        let _ = writeln!(out, "<text x=\"{at:.1}\" y=\"348\" text-anchor=\"middle\">{text}</text>");
    }
    for decade in y0 as i32..=y1 as i32 {
        let at = y(10_f64.powi(decade));
        let _ = writeln!(out, "<path d=\"M70 {at:.1}H550\" stroke=\"#ddd\"/>");
        let text = power(decade);
        let _ = writeln!(out, "<text x=\"62\" y=\"{:.1}\" text-anchor=\"end\">{text}</text>", at + 4.0);
    }
    for (i, curve) in curves.iter().enumerate() {
        let colour = COLOURS[i % COLOURS.len()];
        let line: Vec<String> = curve.points.iter().map(|p| format!("{:.1},{:.1}", x(p.0), y(p.1))).collect();
        let line = line.join(" ");
        let _ = writeln!(
            out,
            "<polyline points=\"{line}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>"
        );
        for p in &curve.points {
            let (cx, cy) = (x(p.0), y(p.1));
            let _ = writeln!(out, "<circle cx=\"{cx:.1}\" cy=\"{cy:.1}\" r=\"3\" fill=\"{colour}\"/>");
        }
        let at = 60.0 + 20.0 * i as f64;
        let name = &curve.name;
        let _ = writeln!(out, "<text x=\"565\" y=\"{at:.0}\" fill=\"{colour}\">{name}</text>");
    }
    out.push_str("</svg>\n");
    out
}

/// The whole decades that hold all values.
fn decades(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (least, most) = values.fold((f64::MAX, f64::MIN), |(a, b), v| (a.min(v), b.max(v)));
    let (from, to) = (least.log10().floor(), most.log10().ceil());
    (from, to.max(from + 1.0))
}

fn power(decade: i32) -> String {
    match decade {
        0..=3 => 10_i32.pow(decade as u32).to_string(),
        _ => format!("10<tspan dy=\"-5\" font-size=\"9\">{decade}</tspan>"),
    }
}

const COLOURS: [&str; 6] = ["#0b61a4", "#c1440e", "#2e7d32", "#6a1b9a", "#5d4037", "#00838f"];
