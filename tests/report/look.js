// What is wrong with how the page looks, as JSON; evaluated in it by browser_test.py.
(() => {
  const faults = [];
  const say = (text) => faults.length < 20 && faults.push(text);
  const short = (element) => (element.textContent || element.outerHTML).trim().slice(0, 60);

  if (document.documentElement.scrollWidth > innerWidth) say(`the page scrolls sideways: ${document.documentElement.scrollWidth} > ${innerWidth}`);

  // Contrast, as WCAG 2 defines it, of every text with the nearest background that is no picture's.
  const numbers = (colour) => colour.match(/[\d.]+/g).map(Number);
  const luminance = ([r, g, b]) => [r, g, b].map((v) => v / 255).map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const background = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = numbers(getComputedStyle(at).backgroundColor);
      if (colour.length < 4 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const element = node.parentElement;
    if (!node.data.trim() || ['TITLE', 'DESC', 'STYLE'].includes(element.tagName.toUpperCase()) || !element.checkVisibility()) continue;
    const pair = [luminance(numbers(getComputedStyle(element).color)), luminance(background(element))].sort((a, b) => b - a);
    const contrast = (pair[0] + 0.05) / (pair[1] + 0.05);
    if (contrast < 4.5) say(`contrast ${contrast.toFixed(2)} of "${short(element)}"`);
  }

  // Texts of pictures lie inside them and not upon each other, and are large enough to read.
  for (const picture of document.querySelectorAll('figure svg[role=img]')) {
    const frame = picture.getBoundingClientRect();
    const texts = [...picture.querySelectorAll('text')].map((text) => ({text, box: text.getBoundingClientRect()})).filter(({box}) => box.width > 0);
    for (const {text, box} of texts)
      if (box.left < frame.left - 1 || box.right > frame.right + 1 || box.top < frame.top - 1 || box.bottom > frame.bottom + 1)
        say(`"${short(text)}" lies outside its picture ${picture.parentElement.id}`);
    for (let i = 0; i < texts.length; ++i)
      for (let j = i + 1; j < texts.length; ++j) {
        const [a, b] = [texts[i].box, texts[j].box];
        const wide = Math.min(a.right, b.right) - Math.max(a.left, b.left), high = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
        if (wide > 1 && high > 3) say(`"${short(texts[i].text)}" and "${short(texts[j].text)}" lie upon each other in ${picture.parentElement.id}`);
      }
    for (const id of picture.getAttribute('aria-labelledby').split(' '))
      if (!document.getElementById(id)?.textContent.trim()) say(`a picture has no words: ${id}`);
  }

  // A flag of the command stands on one line.
  for (const word of document.querySelectorAll('pre span')) {
    const range = document.createRange();
    range.selectNodeContents(word);
    const lines = new Set([...range.getClientRects()].map((box) => Math.round(box.top)));
    if (word.textContent.startsWith('--') && lines.size > 1) say(`"${short(word)}" is parted`);
  }

  // The head of a row is seen however far the table is scrolled, and so is that of its column.
  for (const table of document.querySelectorAll('table.rows')) {
    const frame = table.parentElement, before = frame.scrollLeft;
    frame.scrollLeft = 1e6;
    for (const head of table.querySelectorAll('tr > th:first-child'))
      if (head.getBoundingClientRect().left < frame.getBoundingClientRect().left - 1) say(`"${short(head)}" is scrolled away`);
    frame.scrollLeft = before;
  }

  // Whatever scrolls can have the focus of the keyboard, and has a name.
  for (const element of document.querySelectorAll('*')) {
    const style = getComputedStyle(element);
    const scrolls = /(auto|scroll)/.test(style.overflowX + style.overflowY) && (element.scrollWidth > element.clientWidth || element.scrollHeight > element.clientHeight);
    if (scrolls && element !== document.documentElement && element.checkVisibility() && (element.tabIndex < 0 || !element.getAttribute('aria-label')))
      say(`it scrolls, but not by keyboard: "${short(element)}"`);
  }
  for (const link of document.querySelectorAll('a[href^="#"]'))
    if (!document.getElementById(link.getAttribute('href').slice(1))) say(`a link leads nowhere: ${link.outerHTML}`);

  return JSON.stringify({
    faults,
    figures: [...document.querySelectorAll('figure')].map((figure) => figure.id.replace('figure-', '')),
    pictures: document.querySelectorAll('figure svg[role=img]').length,
  });
})()
