//! The page's plots: bars side by side, with the spread of the repeats as a line on each.

use std::path::Path;

use anyhow::Result;
use anyhow::anyhow;
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::HPos;
use plotters::style::text_anchor::Pos;
use plotters::style::text_anchor::VPos;

use crate::contestant::Contestant;
use crate::page::results::Figure;
use crate::page::results::Results;
use crate::page::results::bulk_work_pct;
use crate::page::results::fps;
use crate::page::results::input_p99_us;
use crate::page::results::load_cpu_pct;
use crate::page::results::p99_ms;
use crate::page::section::Section;
use crate::page::section::mode;
use crate::page::spread::Spread;
use crate::plan::Suite;

const HEIGHT: u32 = 420;
const WIDTH_MIN: u32 = 960;
/// Room for the longest name below a group.
const GROUP_WIDTH_MIN: u32 = 140;
const AXIS_WIDTH: u32 = 64;
/// Of a group's width; the rest keeps groups apart.
const BARS_WIDTH: f64 = 0.82;
/// Of a bar's room; the rest keeps it apart from the next one.
const BAR_SHARE: f64 = 0.92;
const HEADROOM: f64 = 1.15;
const LEGEND_WIDTH: u32 = 180;
const FONT: (&str, u32) = ("sans-serif", 16);
const GRID: RGBColor = RGBColor(225, 225, 225);

/// Bars in groups.
struct Plot {
    title: String,
    axis: &'static str,
    groups: Vec<String>,
    series: Vec<Series>,
}

/// One scheduler: a bar in each group, none where it was not measured.
struct Series {
    contestant: Contestant,
    bars: Vec<Option<Spread>>,
}

/// Writes every plot that has something to show, and returns file names with titles.
pub fn write_all(
    results: &Results,
    sections: &[Section],
    directory: &Path,
    stem: &str,
) -> Result<Vec<(String, String)>> {
    let mut plots = Vec::new();
    for section in sections {
        let figures: &[FigurePlot] = match section.suite {
            Suite::Outside => &[P99, INPUT, ("load", "the load's progress", "% of all CPUs", load_cpu_pct)],
            Suite::Inside => &[P99, INPUT, ("bulk", "work of the game's bulk threads", "% of all CPUs", bulk_work_pct)],
            // Too many bars to read.
            Suite::Guards => &[],
            Suite::Programs => &[("fps", "frames per second", "fps", fps)],
        };
        for &(name, what, axis, figure) in figures {
            plots.push((format!("{}-{name}", section.slug()), of_frames(results, section, what, axis, figure)));
        }
    }
    plots.push(("cost".into(), of_costs(results)));
    let mut written = Vec::new();
    for (name, plot) in plots {
        if plot.is_empty() {
            continue;
        }
        let file = format!("{stem}-{name}.svg");
        let path = directory.join(&file);
        plot.draw(&path).map_err(|why| anyhow!("draw {}: {why}", path.display()))?;
        written.push((file, plot.title));
    }
    Ok(written)
}

/// Name, title, axis and figure of a plot.
type FigurePlot = (&'static str, &'static str, &'static str, Figure);
const P99: FigurePlot = ("p99", "p99 frame time", "ms", p99_ms);
const INPUT: FigurePlot = ("input", "p99 of input, due to handled", "µs", input_p99_us);

fn of_frames(results: &Results, section: &Section, what: &str, axis: &'static str, figure: Figure) -> Plot {
    let cells = &section.cells;
    let series = results.contestants_in(cells).into_iter().map(|contestant| Series {
        contestant,
        bars: cells.iter().map(|&cell| results.spread(contestant, cell, figure)).collect(),
    });
    Plot {
        title: format!("{what}, {}", mode(section.fps)),
        axis,
        series: series.collect(),
        groups: cells.iter().map(|cell| cell.scene().to_string()).collect(),
    }
}

fn of_costs(results: &Results) -> Plot {
    let series = results.costs.iter().map(|cost| Series {
        contestant: cost.contestant,
        bars: [cost.pipe_ns, cost.fan_out_ns].map(|ns| Spread::of([ns / 1e3])).to_vec(),
    });
    Plot {
        title: "cost, deterministic rig".into(),
        axis: "µs",
        groups: vec!["sched pipe, an operation".into(), "fan-out, a round".into()],
        series: series.collect(),
    }
}

impl Plot {
    fn is_empty(&self) -> bool {
        self.highest().is_none()
    }

    fn highest(&self) -> Option<f64> {
        let bars = self.series.iter().flat_map(|series| series.bars.iter().flatten());
        bars.map(|bar| bar.max).max_by(f64::total_cmp)
    }

    fn width(&self) -> u32 {
        (AXIS_WIDTH + LEGEND_WIDTH + GROUP_WIDTH_MIN * self.groups.len() as u32).max(WIDTH_MIN)
    }

    fn draw(&self, path: &Path) -> Result<(), Box<dyn std::error::Error>> {
        let area = SVGBackend::new(path, (self.width(), HEIGHT)).into_drawing_area();
        area.fill(&WHITE)?;
        self.draw_on(&area)?;
        area.present()?;
        Ok(())
    }

    fn draw_on(&self, area: &DrawingArea<SVGBackend<'_>, Shift>) -> Result<(), Box<dyn std::error::Error>> {
        let top = self.highest().unwrap_or(1.0) * HEADROOM;
        let groups = self.groups.len();
        let mut chart = ChartBuilder::on(area)
            .caption(&self.title, ("sans-serif", 20))
            .margin(8)
            .margin_right(LEGEND_WIDTH)
            .x_label_area_size(28)
            .y_label_area_size(AXIS_WIDTH)
            .build_cartesian_2d(0.0..groups as f64, 0.0..top)?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .disable_x_axis()
            .max_light_lines(0)
            .bold_line_style(GRID)
            .y_desc(self.axis)
            .label_style(FONT)
            .draw()?;
        let width = BARS_WIDTH / self.series.len() as f64;
        for (position, series) in self.series.iter().enumerate() {
            let colour = colour(series.contestant);
            let left = |group: usize| group as f64 + (1.0 - BARS_WIDTH) / 2.0 + position as f64 * width;
            let bars = series.bars.iter().enumerate().filter_map(|(group, bar)| Some((left(group), (*bar)?)));
            let rectangles = bars
                .clone()
                .map(|(x, bar)| Rectangle::new([(x, 0.0), (x + width * BAR_SHARE, bar.median)], colour.filled()));
            chart.draw_series(rectangles)?;
            let spreads = bars.filter(|(_, bar)| bar.count > 1).map(|(x, bar)| {
                let middle = x + width * BAR_SHARE / 2.0;
                PathElement::new([(middle, bar.min), (middle, bar.max)], BLACK)
            });
            chart.draw_series(spreads)?;
        }
        let centred = FONT.into_text_style(area).pos(Pos::new(HPos::Center, VPos::Top));
        for (group, name) in self.groups.iter().enumerate() {
            let (x, y) = chart.backend_coord(&(group as f64 + 0.5, 0.0));
            area.draw_text(name, &centred, (x, y + 8))?;
        }
        self.draw_legend(area)
    }

    /// By hand: plotters clips its own legend to the bars' area, and beside it is where there is room.
    fn draw_legend(&self, area: &DrawingArea<SVGBackend<'_>, Shift>) -> Result<(), Box<dyn std::error::Error>> {
        let style = FONT.into_text_style(area).pos(Pos::new(HPos::Left, VPos::Center));
        let left = self.width() as i32 - LEGEND_WIDTH as i32 + 12;
        for (position, series) in self.series.iter().enumerate() {
            let middle = 56 + 22 * position as i32;
            let swatch = [(left, middle - 6), (left + 12, middle + 6)];
            area.draw(&Rectangle::new(swatch, colour(series.contestant).filled()))?;
            area.draw_text(series.contestant.label(), &style, (left + 18, middle))?;
        }
        Ok(())
    }
}

/// Colours that a colour-blind eye tells apart (Okabe and Ito); ours stand out.
fn colour(contestant: Contestant) -> RGBColor {
    match contestant {
        Contestant::Eevdf => RGBColor(120, 120, 120),
        Contestant::Cosmos => RGBColor(86, 180, 233),
        Contestant::Bpfland => RGBColor(0, 158, 115),
        Contestant::Flash => RGBColor(240, 228, 66),
        Contestant::Cake => RGBColor(0, 114, 178),
        Contestant::Lavd => RGBColor(204, 121, 167),
        Contestant::Ours => RGBColor(213, 94, 0),
        Contestant::Baseline => RGBColor(240, 170, 120),
        Contestant::OursIdle => RGBColor(230, 159, 0),
        Contestant::RealTime | Contestant::RealTimeFrames => RGBColor(0, 0, 0),
        Contestant::Empty => RGBColor(200, 200, 200),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::sample;
    use crate::page::sample::uncapped;
    use crate::page::section;
    use crate::workload::Workload;

    #[test]
    fn a_plot_shows_every_scheduler_and_every_load_by_name() {
        let results = sample::results(vec![
            sample::frames(Contestant::Eevdf, uncapped(Workload::Hogs), 0, 40.0),
            sample::frames(Contestant::Ours, uncapped(Workload::Hogs), 0, 10.0),
            sample::frames(Contestant::Ours, uncapped(Workload::Mixed), 0, 10.0),
        ]);
        let directory = tempfile::tempdir().expect("temporary directory");
        let written = write_all(&results, &section::all(&results), directory.path(), "bench").expect("plots");
        let names: Vec<&str> = written.iter().map(|(file, _)| file.as_str()).collect();
        assert_eq!(names, ["p99", "input", "load"].map(|name| format!("bench-uncapped-outside-{name}.svg")));
        let svg = std::fs::read_to_string(directory.path().join(names[0])).expect("a plot");
        for text in ["EEVDF", "scx-gamer-run", "hogs", "mixed", "p99 frame time, uncapped"] {
            assert!(svg.contains(text), "{text} is missing");
        }
    }

    #[test]
    fn a_higher_figure_is_a_higher_bar() {
        let plot = |median: f64| Plot {
            title: "t".into(),
            axis: "ms",
            groups: vec!["g".into()],
            series: vec![
                Series { contestant: Contestant::Ours, bars: vec![Spread::of([median])] },
                Series { contestant: Contestant::Eevdf, bars: vec![Spread::of([100.0])] },
            ],
        };
        let directory = tempfile::tempdir().expect("temporary directory");
        let height_at = |median: f64| {
            let path = directory.path().join("plot.svg");
            plot(median).draw(&path).expect("a plot");
            let svg = std::fs::read_to_string(path).expect("a plot");
            let bar = svg.lines().find(|line| line.contains("#D55E00")).expect("a bar of ours").to_owned();
            let height = bar.split("height=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a height");
            height.parse::<f64>().expect("a number")
        };
        let (half, whole) = (height_at(50.0), height_at(100.0));
        assert!((whole / half - 2.0).abs() < 0.05, "{half} and {whole}");
    }
}
