// How the page of a report looks: on a phone, on a desk, in the dark and on paper.
#include "fovea/report/html.h"

namespace fovea::report {

std::string_view page_style() {
  return R"css(
:root{color-scheme:light dark;--page:#f3f5f8;--card:#ffffff;--text:#1f2328;--soft:#57606a;--edge:#d5dae0;--link:#0a58ca;--accent:#0a69da;
--shade:#f3f5f8;--warn:#8a4b00}
@media screen and (prefers-color-scheme:dark){:root{--page:#0d1117;--card:#161b22;--text:#e6edf3;--soft:#9aa5b1;--edge:#30363d;
--link:#79b8ff;--accent:#58a6ff;--shade:#1c222b;--warn:#f0b25a}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%}
body{margin:0;background:var(--page);color:var(--text);
font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;overflow-wrap:anywhere}
a{color:var(--link)}
a:focus-visible,summary:focus-visible,[tabindex]:focus-visible{outline:3px solid var(--accent);outline-offset:2px;border-radius:4px}
.skip{position:absolute;left:-999px;top:0;background:var(--card);padding:.5rem 1rem;z-index:1}
.skip:focus{left:.5rem}
header,main,footer{max-width:76rem;margin:0 auto;padding:0 1rem}
header{padding-top:1.75rem}
h1{font-size:clamp(1.35rem,1rem + 2vw,2rem);line-height:1.2;margin:0 0 .35rem}
h2{font-size:1.2rem;margin:2.25rem 0 .75rem}
h3{font-size:1rem;margin:0}
.by{color:var(--soft);margin:0;font-size:.9rem}
nav ul{list-style:none;display:flex;flex-wrap:wrap;gap:.25rem 1rem;padding:0;margin:.75rem 0 0;font-size:.9rem}
.card,figure{background:var(--card);border:1px solid var(--edge);border-radius:12px;padding:1rem;margin:0}
.headline{border-left:6px solid var(--accent);margin-top:1.25rem;padding:1.1rem 1.25rem}
.headline p{font-size:clamp(1.1rem,1rem + 1vw,1.5rem);font-weight:600;line-height:1.35;margin:0}
.answers{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,19rem),1fr));gap:.75rem;margin:.75rem 0 0}
.answers dt{font-weight:600}
.answers dd{margin:.25rem 0 0}
.answers .wide{grid-column:1/-1}
.source{color:var(--soft);font-size:.8rem;margin:.5rem 0 0}
.scroll{overflow-x:auto;max-width:100%}
table{border-collapse:collapse;font-size:.9rem;font-variant-numeric:tabular-nums;overflow-wrap:normal}
th,td{padding:.4rem .7rem;border-bottom:1px solid var(--edge);text-align:left;white-space:nowrap;vertical-align:top}
th.right,td.right{text-align:right}
thead th{font-weight:600;border-bottom:2px solid var(--edge);vertical-align:bottom}
@media screen and (min-width:48rem){.rows tbody th{min-width:10rem}}
.rows thead th:first-child{position:sticky;left:0;background:var(--card);z-index:1}
td.words{white-space:normal;min-width:14rem}
tbody th small{display:block}
tbody th{font-weight:600;position:sticky;left:0;background:var(--card);white-space:normal;overflow-wrap:break-word;min-width:6.5rem;
max-width:14rem}
tr.fastest th,tr.fastest td{background:var(--shade)}
td.missing{color:var(--soft)}
td small{display:block}
sup a{text-decoration:none;padding:0 .1rem}
#legend,.figures{margin-top:.75rem}
.tall{grid-row:span 2}.tallest{grid-row:span 3}
.figures{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,22rem),1fr));gap:1rem}
figure{display:flex;flex-direction:column;gap:.5rem;min-width:0}
figure svg{width:100%;height:auto;max-width:40rem;display:block}
figcaption{font-size:.9rem}
figcaption p{margin:.3rem 0 0;color:var(--soft)}
.legend{list-style:none;margin:0;padding:0;display:flex;flex-wrap:wrap;gap:.15rem .9rem;font-size:.85rem}
.legend li{display:flex;align-items:center;gap:.4rem;min-width:0}
.legend svg{width:34px;height:12px;flex:none}
.absent{display:grid;place-items:center;text-align:center;min-height:8rem;border:1px dashed var(--edge);border-radius:8px;padding:1rem;
color:var(--soft)}
details{font-size:.9rem}
summary{cursor:pointer;color:var(--link);padding:.35rem 0}
details .scroll{max-height:22rem;overflow-y:auto}
.facts{display:grid;grid-template-columns:minmax(8rem,14rem) 1fr;gap:.3rem 1rem;margin:0}
.facts dt{color:var(--soft)}
.facts dd{margin:0}
pre{background:var(--shade);border:1px solid var(--edge);border-radius:8px;padding:.8rem 1rem;margin:.5rem 0;white-space:pre-wrap;
overflow-wrap:anywhere;font-size:.9rem}
pre span{display:inline-block;max-width:100%}
.notes li{margin:.3rem 0}
footer{color:var(--soft);font-size:.85rem;padding-top:2rem;padding-bottom:2rem}
@media (max-width:30rem){.facts{grid-template-columns:1fr}.facts dd{margin-bottom:.4rem}figure,.card{padding:.8rem}}
@media print{:root{color-scheme:light}body{background:#fff;font-size:11pt}nav,.skip{display:none}.card,figure{break-inside:avoid;
border-color:#bbb}.figures{grid-template-columns:1fr 1fr}
.scroll{overflow:visible;max-height:none}
table{font-size:6.5pt;width:100%;overflow-wrap:anywhere}th,td{padding:.15rem .2rem;white-space:normal}
tbody th,.rows thead th:first-child{position:static;min-width:3.5rem}td.words{min-width:0}details:not([open]){display:none}}
)css";
}

}  // namespace fovea::report
