// A face for each name, drawn here: three hues and a small pattern of its own, the same in every demonstration.

import { mediaUrl, svg } from './dom.js';
import { displayName } from './store.js';

function seedOf(user) {
  let hash = 2166136261;
  for (const char of user?.username ?? '') hash = Math.imul(hash ^ char.charCodeAt(0), 16777619);
  hash = Math.imul(hash ^ (hash >>> 15), 2246822507); // member-1 and member-3 look nothing like each other
  return (hash ^ (hash >>> 13)) >>> 0;
}

export function accentOf(user) {
  return `hsl(${seedOf(user) % 360} 62% 66%)`;
}

/** An SVG of `size` CSS pixels; bots get a square face. */
export function avatar(user, size = 40) {
  const seed = seedOf(user);
  const hue = seed % 360;
  const face = svg('svg', {
    viewBox: '0 0 40 40',
    width: size,
    height: size,
    class: `avatar${user?.bot ? ' avatar-bot' : ''}`,
    'aria-hidden': 'true',
  });
  face.append(svg('rect', { width: 40, height: 40, fill: `hsl(${hue} 48% 42%)` }));
  face.append(
    svg('circle', {
      cx: 8 + ((seed >> 5) % 26),
      cy: 4 + ((seed >> 9) % 12),
      r: 13 + ((seed >> 13) % 8),
      fill: `hsl(${(hue + 40 + ((seed >> 3) % 60)) % 360} 55% 55%)`,
      opacity: 0.75,
    }),
  );
  face.append(
    svg('circle', {
      cx: 4 + ((seed >> 11) % 32),
      cy: 36,
      r: 10 + ((seed >> 17) % 9),
      fill: `hsl(${(hue + 200) % 360} 45% 32%)`,
      opacity: 0.7,
    }),
  );
  const letter = svg('text', {
    x: 20,
    y: 20,
    'text-anchor': 'middle',
    'dominant-baseline': 'central',
    class: 'avatar-letter',
  });
  letter.textContent = [...displayName(user)][0]?.toUpperCase() ?? '?';
  face.append(letter);
  if (user?.avatar_url) face.append(svg('image', { href: mediaUrl(user.avatar_url) ?? '', width: 40, height: 40 }));
  return face;
}
