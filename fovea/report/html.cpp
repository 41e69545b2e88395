#include "fovea/report/html.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "fovea/report/answers.h"
#include "fovea/report/comparison_table.h"
#include "fovea/report/figures.h"
#include "fovea/report/measures.h"
#include "fovea/report/numbers.h"
#include "fovea/report/remarks.h"

namespace fovea::report {
namespace {

constexpr size_t most_in_legend = 8;  // entries: more stand once for all figures

// With a number and its percent sign on one line.
std::string text(std::string_view words) {
  std::string html = escaped_markup(words);
  for (size_t at = html.find(" %"); at != std::string::npos; at = html.find(" %", at + 1))
    if (at > 0 && std::isdigit(static_cast<unsigned char>(html[at - 1]))) html.replace(at, 1, "\u00a0");
  return html;
}
const char* side(Align align) { return align == Align::right ? " class=\"right\"" : ""; }

std::string not_measured(const std::string& reason) { return "not measured: " + (reason.empty() ? "no reason is recorded" : reason); }

std::string plain_table(const std::vector<Column>& columns, const std::string& name) {
  std::string html = fmt::format("<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{}\"><table><thead><tr>", text(name));
  for (const Column& column : columns) html += fmt::format("<th scope=\"col\"{}>{}</th>", side(column.align), text(column.title));
  html += "</tr></thead><tbody>\n";
  for (size_t row = 0; row < columns.front().cells.size(); ++row) {
    html += fmt::format("<tr><th scope=\"row\">{}</th>", text(columns.front().cells[row]));
    for (size_t i = 1; i < columns.size(); ++i) html += fmt::format("<td{}>{}</td>", side(columns[i].align), text(columns[i].cells[row]));
    html += "</tr>\n";
  }
  return html + "</tbody></table></div>\n";
}

std::string readable(std::string key) {  // "memory_bytes": "memory"
  if (key.ends_with("_bytes")) key.resize(key.size() - 6);
  std::replace(key.begin(), key.end(), '_', ' ');
  return key;
}

std::string facts(const Entries& entries) {
  if (entries.empty()) return "<p>Not recorded.</p>\n";
  std::string html = "<dl class=\"facts\">\n";
  for (const auto& [key, value] : entries)
    html += fmt::format("<dt>{}</dt><dd>{}</dd>\n", text(readable(key)), text(value_with_unit(key, value)));
  return html + "</dl>\n";
}

// Each word whole, where there is room for it: a browser would part `--out` behind its dashes.
std::string command_html(const std::vector<std::string>& command, const std::string& without) {
  std::string words;
  for (const std::string& word : command)
    words += fmt::format("{}<span>{}</span>", words.empty() ? "" : " ", escaped_markup(command_line({word})));
  return fmt::format("<pre tabindex=\"0\">{}</pre>", words.empty() ? text(without) : words);
}

std::string answers_html(const Comparison& comparison) {
  std::string html = fmt::format(
      "<section id=\"answer\" aria-labelledby=\"answer-head\"><h2 id=\"answer-head\">The answer</h2>\n"
      "<div class=\"card headline\"><p>{}</p></div>\n<dl class=\"answers\">\n",
      text(headline(comparison)));
  for (const Answer& answer : answers(comparison)) {
    const bool command = answer.source == "command";
    html += fmt::format("<div class=\"card{}\"><dt>{}</dt><dd>{}{}<p class=\"source\">Source: {}</p></dd></div>\n", command ? " wide" : "",
                        text(answer.question), command ? command_html(comparison.command, answer.text) : text(answer.text),
                        answer.remark.empty() ? "" : fmt::format("<p>{}</p>", text(answer.remark)), text(answer.source));
  }
  return html + "</dl></section>\n";
}

bool has_column(const FigureColumn& column) {  // on the page: the other settings stand in the head of the row
  return !is_setting(column.source) || column.source == "device";
}

std::string cell_html(const FigureColumn& column, const Cell& cell) {
  if (cell.text.empty())
    return fmt::format("<td class=\"missing{}\"><abbr title=\"{}\">–</abbr></td>", column.align == Align::right ? " right" : "",
                       text(not_measured(cell.reason)));
  if (column.source == "device") return fmt::format("<td class=\"words\">{}</td>", text(cell.text));
  return fmt::format("<td{}>{}{}</td>", side(column.align), text(cell.text),
                     cell.interval.empty() ? "" : fmt::format("<small>{}</small>", text(cell.interval)));
}

std::string list_html(const std::vector<std::string>& lines) {
  if (lines.empty()) return "";
  std::string html = "<ul class=\"notes\">\n";
  for (const std::string& line : lines) html += fmt::format("<li>{}</li>\n", text(line));
  return html + "</ul>\n";
}

std::string table_row(const Comparison& comparison, const FigureTable& table, size_t row) {
  const ComparedRow& compared = comparison.rows[row];
  const bool fastest = &compared == fastest_row(comparison);
  std::string html = fmt::format("<tr{}><th scope=\"row\">{}{}</th>", fastest ? " class=\"fastest\"" : "", text(compared.label),
                                 fastest ? "<small>fastest</small>" : "");
  if (compared.status != Status::ran) {
    const auto columns = std::count_if(table.columns.begin(), table.columns.end(), has_column);
    return html + fmt::format("<td class=\"missing\" colspan=\"{}\">{}: the reason stands below the table</td></tr>\n", columns,
                              name_of(compared.status));
  }
  for (const FigureColumn& column : table.columns)
    if (has_column(column)) html += cell_html(column, column.cells[row]);
  return html + "</tr>\n";
}

std::string table_html(const Comparison& comparison) {
  const FigureTable table = figure_table(comparison);
  std::string html = fmt::format(
      "<section id=\"table\" aria-labelledby=\"table-head\"><h2 id=\"table-head\">The table</h2>\n<div class=\"card\">\n"
      "<p class=\"by\">{}</p>\n<div class=\"scroll\" tabindex=\"0\" "
      "role=\"region\" "
      "aria-label=\"Table of all rows\"><table class=\"rows\"><thead><tr><th scope=\"col\">row</th>",
      text((table.shared.empty() ? "" : "All rows: " + table.shared + ". ") +
           "Small below a number: its 95 % interval. Where it is wider than the page, the table scrolls sideways."));
  for (const FigureColumn& column : table.columns) {
    if (!has_column(column)) continue;
    const std::string mark = is_setting(column.source) ? ""
                                                       : fmt::format("<sup><a href=\"#source-{0}\" aria-label=\"source {0}\">{0}</a></sup>",
                                                                     measure_number(column.source));
    html += fmt::format("<th scope=\"col\"{}>{}{}</th>", side(column.align), text(column.title), mark);
  }
  html += "</tr></thead><tbody>\n";
  for (size_t row = 0; row < comparison.rows.size(); ++row) html += table_row(comparison, table, row);
  html += "</tbody></table></div>\n";
  html += list_html(remarks(comparison, table));
  html +=
      "<p class=\"source\">The speed-up is the median of the ratios of turns side by side, so it need not be the ratio of the medians of "
      "images/s. n.s.: no significant difference. –: not measured. The small numbers at the heads lead to where each figure is from: <a "
      "href=\"#sources\">sources</a>.</p>\n";
  html += fmt::format("<details><summary>Medians, quartiles and intervals</summary>{}</details>\n",
                      plain_table(spread_columns(comparison), "Medians, quartiles and intervals"));
  return html + "</div></section>\n";
}

std::string swatch(const LegendEntry& entry, Marks marks) {
  Svg svg;
  Stroke stroke = series_stroke(entry.series);
  if (entry.kind == Line::Kind::ideal) stroke = ideal_stroke();
  stroke.width = std::max(stroke.width, 2.5);
  if (marks == Marks::dots_alone)
    svg.symbol({17, 6}, 4.5, series_symbol(entry.series), stroke.ink);
  else
    svg.path(std::vector<Point>{{0, 6}, {34, 6}}, stroke);
  return svg.swatch(34, 12);
}

std::string legend_html(const std::vector<LegendEntry>& legend, Marks marks = Marks::none) {
  std::string html = "<ul class=\"legend\">";
  for (const LegendEntry& entry : legend) html += fmt::format("<li>{}<span>{}</span></li>", swatch(entry, marks), text(entry.label));
  return html + "</ul>\n";
}

using Legend = std::vector<LegendEntry>;

// Once for all figures, where there are too many rows to say it in each; else empty.
Legend shared_legend(const std::vector<Figure>& figures) {
  const auto longest =
      std::max_element(figures.begin(), figures.end(), [](const Figure& a, const Figure& b) { return a.legend.size() < b.legend.size(); });
  return longest->legend.size() > most_in_legend ? longest->legend : Legend();
}

bool holds(const Legend& all, const Legend& part) {
  return std::all_of(part.begin(), part.end(), [&](const LegendEntry& entry) {
    return std::any_of(all.begin(), all.end(), [&](const LegendEntry& other) { return other.label == entry.label; });
  });
}

std::string figure_html(const Figure& figure, const Legend& shared) {
  const size_t rows = figure.id == "speedup" && !figure.data.empty() ? figure.data.front().cells.size() : 0;  // a bar for each
  std::string html =
      fmt::format("<figure id=\"figure-{0}\" tabindex=\"0\" aria-labelledby=\"head-{0}\"{2}>\n<h3 id=\"head-{0}\">{1}</h3>\n", figure.id,
                  text(figure.title),
                  rows > 2 * most_in_legend ? " class=\"tallest\""
                  : rows > most_in_legend   ? " class=\"tall\""
                                            : "");
  if (figure.picture.empty())
    return html + fmt::format("<p class=\"absent\">{}</p>\n<figcaption><p class=\"source\">Source: {}</p></figcaption>\n</figure>\n",
                              text(not_measured(figure.reason)), text(figure.source));
  html += figure.picture;
  if (figure.legend.size() > most_in_legend && figure.marks != Marks::dots_alone && holds(shared, figure.legend))
    html += "<p class=\"by\">The <a href=\"#legend\">legend of all rows</a> says which line is which.</p>\n";
  else if (!figure.legend.empty())
    html += legend_html(figure.legend, figure.marks);
  html += fmt::format("<figcaption>{}<p class=\"source\">Source: {}</p></figcaption>\n", text(figure.caption), text(figure.source));
  return html + fmt::format("<details><summary>The numbers of this figure</summary>{}</details>\n</figure>\n",
                            plain_table(figure.data, figure.title));
}

std::string figures_html(const Comparison& comparison) {
  std::vector<Figure> figures = figures_of(comparison);
  std::stable_partition(figures.begin(), figures.end(), [](const Figure& figure) { return !figure.picture.empty(); });
  const Legend shared = shared_legend(figures);
  std::string html =
      "<section id=\"figures\" aria-labelledby=\"figures-head\"><h2 id=\"figures-head\">The figures</h2>\n<p class=\"by\">A row has the "
      "same colour and "
      "dashes in every figure. Lines that lie upon each other are drawn with several widths.</p>\n";
  if (!shared.empty()) html += "<div class=\"card\" id=\"legend\">" + legend_html(shared) + "</div>\n";
  html += "<div class=\"figures\">\n";
  for (const Figure& figure : figures) html += figure_html(figure, shared);
  return html + "</div></section>\n";
}

std::string sources_html(const Comparison& comparison) {
  std::string html =
      "<section id=\"sources\" aria-labelledby=\"sources-head\"><h2 id=\"sources-head\">Where the numbers are from</h2>\n<div "
      "class=\"card\"><ol class=\"notes\">\n";
  size_t number = 0;
  for (const Measure& measure : measures())
    html += fmt::format("<li id=\"source-{}\"><code>rows[].{}</code>: {}</li>\n", ++number, text(measure.source), text(measure.method));
  html += "</ol>\n";
  if (!comparison.statistics.empty()) html += fmt::format("<p>How medians and intervals are made: {}</p>\n", text(comparison.statistics));
  return html +
         "<p>All of them stand in <code>result.json</code>, and in <code>result.csv</code> as one line each, beside this "
         "file.</p></div></section>\n";
}

// What a reader must know beside the figures: what the record says, and what follows from it.
std::vector<std::string> notes_of(const Comparison& comparison) {
  std::vector<std::string> notes = comparison.notes;
  if (comparison.interrupted) notes.push_back("The comparison was stopped before its end: the rows stand as far as they had come.");
  for (const auto& [key, value] : comparison.question)
    if (key == "data" && value.find("synthetic") != std::string::npos)
      notes.push_back(
          fmt::format("The images are synthetic ({}): a program drew them, and accuracies on them say little about photographs.", value));
  for (const ComparedRow& row : comparison.rows)
    if (row.status != Status::ran) notes.push_back(fmt::format("{} is {}: {}", row.label, name_of(row.status), row.reason));
  for (const std::string& remark : kernel_remarks(comparison)) notes.push_back(remark);
  if (const std::string missing = missing_figures(comparison, figure_table(comparison)); !missing.empty())
    notes.push_back(fmt::format("Not measured, for the reasons below the table: {}.", missing));
  return notes;
}

std::string section(const char* id, const char* title, const std::string& body) {
  return fmt::format(
      "<section id=\"{0}\" aria-labelledby=\"{0}-head\"><h2 id=\"{0}-head\">{1}</h2>\n<div class=\"card\">{2}</div></section>\n", id, title,
      body);
}

std::string notes_html(const Comparison& comparison) {
  const std::vector<std::string> notes = notes_of(comparison);
  return section("notes", "What stands in, and what is left out",
                 notes.empty() ? "<p>Nothing that is known of: every row ran, and every figure was measured.</p>" : list_html(notes));
}

// What is known of the machine. `libraries` is what each backend says of the place where it runs, be that a library or a processor.
Entries environment_of(const Comparison& comparison) {
  constexpr std::string_view libraries = "libraries.";
  Entries entries;
  for (const auto& [key, value] : comparison.environment) {
    if (value == unknown_entry) continue;
    if (key.starts_with(libraries))
      entries.emplace_back(key.substr(libraries.size()) + " runs on", value);
    else
      entries.emplace_back(key == "gpu_reason" ? "no GPU" : key, value);
  }
  if (!comparison.version.empty()) entries.emplace_back("fovea", comparison.version);
  if (!comparison.commit.empty()) entries.emplace_back("commit", comparison.commit);
  entries.emplace_back("idle power, CPU",
                       comparison.idle_cpu_watts ? digits(*comparison.idle_cpu_watts) + " W" : not_measured(comparison.idle_reason));
  entries.emplace_back("idle power, GPU",
                       comparison.idle_gpu_watts ? digits(*comparison.idle_gpu_watts) + " W" : not_measured(comparison.idle_reason));
  return entries;
}

}  // namespace

std::string html_page(const Comparison& comparison) {
  std::vector<std::string> by;
  for (const std::string& part : {comparison.date, comparison.version.empty() ? "" : "fovea " + comparison.version,
                                  comparison.commit.empty() ? "" : "commit " + comparison.commit})
    if (!part.empty()) by.push_back(text(part));
  return fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" "
      "content=\"width=device-width,initial-scale=1\">\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">\n"
      "<link rel=\"icon\" href=\"data:,\">\n<title>{title}</title>\n<style>{style}{light}\n@media screen and "
      "(prefers-color-scheme:dark){{{dark}}}\n</style>\n</head>\n<body>\n"
      "<a class=\"skip\" href=\"#main\">Skip to the answer</a>\n<header><h1>{title}</h1><p class=\"by\">{by}</p>\n"
      "<nav aria-label=\"Parts of the report\"><ul><li><a href=\"#answer\">Answer</a></li><li><a href=\"#table\">Table</a></li><li><a "
      "href=\"#figures\">Figures</a></li>"
      "<li><a href=\"#notes\">What stands in</a></li><li><a href=\"#question\">What was compared</a></li><li><a "
      "href=\"#environment\">Machine</a></li>"
      "<li><a href=\"#sources\">Sources</a></li></ul></nav></header>\n<main id=\"main\" tabindex=\"-1\">\n{answers}{table}"
      "{figures}{notes}{question}{environment}{sources}</main>\n<footer>Made from result.json by `fovea report`. This page needs no "
      "network.</footer>\n</body>\n</html>\n",
      fmt::arg("title", text(comparison.title)), fmt::arg("style", page_style()), fmt::arg("light", ink_rules(Page::light)),
      fmt::arg("dark", ink_rules(Page::dark)), fmt::arg("by", fmt::format("{}", fmt::join(by, " · "))),
      fmt::arg("answers", answers_html(comparison)), fmt::arg("table", table_html(comparison)),
      fmt::arg("figures", figures_html(comparison)), fmt::arg("notes", notes_html(comparison)),
      fmt::arg("question", section("question", "What was compared", facts(comparison.question))),
      fmt::arg("environment", section("environment", "The machine", facts(environment_of(comparison)))),
      fmt::arg("sources", sources_html(comparison)));
}

}  // namespace fovea::report
