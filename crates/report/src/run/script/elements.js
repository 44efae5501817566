// Elements, numbers and colours.

function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, '');
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child != null));
  return element;
}

const trimmed = (text) => (text.includes('.') ? text.replace(/\.?0+$/, '') : text);
function short(value) {
  if (value == null || !Number.isFinite(value)) return '–';
  const size = Math.abs(value);
  if (size >= 1e9) return trimmed((value / 1e9).toPrecision(3)) + 'G';
  if (size >= 1e6) return trimmed((value / 1e6).toPrecision(3)) + 'M';
  if (size >= 1e4) return trimmed((value / 1e3).toPrecision(3)) + 'k';
  if (size >= 1000) return value.toFixed(0);
  return size !== 0 && size < 1e-3 ? value.toExponential(1) : trimmed(value.toPrecision(4));
}
const share = (value) => (value == null ? '–' : value.toFixed(4));
const percent = (value) => (value == null ? '–' : `${(100 * value).toFixed(1)}\u00a0%`);
const milliseconds = (value) => (value == null ? '–' : `${short(1000 * value)} ms`);
function duration(seconds) {
  if (seconds == null || !Number.isFinite(seconds)) return '–';
  const whole = Math.round(seconds);
  const [days, hours, minutes] = [Math.floor(whole / 86400), Math.floor(whole / 3600) % 24, Math.floor(whole / 60) % 60];
  if (days) return `${days} d ${hours} h`;
  if (hours) return `${hours} h ${minutes} min`;
  return minutes ? `${minutes} min ${whole % 60} s` : `${seconds < 10 ? trimmed(seconds.toFixed(1)) : whole} s`;
}

const isDark = () => !state.printing && matchMedia('(prefers-color-scheme: dark)').matches;
function colour(index) {
  const parts = doc.palette[index % doc.palette.length].match(/\w\w/g).map((part) => parseInt(part, 16));
  const lit = isDark() ? parts.map((part) => Math.round(part + (255 - part) * 0.4)) : parts;
  return `rgb(${lit.join(', ')})`;
}
const faint = (of) => of.replace('rgb', 'rgba').replace(')', ', 0.28)');
const ink = () => (isDark() ? '#a5a5a5' : '#555');
const grid = () => (isDark() ? '#33373c' : '#e4e4e4');
