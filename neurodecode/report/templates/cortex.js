/* A cortex to turn: WebGL, by mouse, finger or arrow keys. */
(() => {
"use strict";
const store = document.getElementById("cortex-data"), canvas = document.getElementById("cortex");
const told = document.getElementById("cortex-told");
const gl = canvas.getContext("webgl", { antialias: true });
if (!gl) { told.textContent = "This browser has no WebGL: see the four views."; canvas.remove(); return; }
const data = JSON.parse(store.textContent);
const bytes = text => Uint8Array.from(atob(text), c => c.charCodeAt(0));
const shader = (kind, text) => {
  const made = gl.createShader(kind);
  gl.shaderSource(made, text);
  gl.compileShader(made);
  return made;
};
const program = gl.createProgram();
gl.attachShader(program, shader(gl.VERTEX_SHADER, `
  attribute vec3 place, normal, colour; uniform mat3 turn; uniform vec3 shift; uniform vec2 zoom;
  varying vec3 ink;
  void main() {
    vec3 p = turn * (place + shift), n = turn * normal;
    gl_Position = vec4(p.xy * zoom, p.z * -0.3, 1.0);
    ink = colour * (0.45 + 0.55 * max(n.z, 0.0));
  }`));
gl.attachShader(program, shader(gl.FRAGMENT_SHADER,
  "precision mediump float; varying vec3 ink; void main() { gl_FragColor = vec4(ink, 1.0); }"));
gl.linkProgram(program);
gl.useProgram(program);
gl.enable(gl.DEPTH_TEST);
gl.clearColor(1, 1, 1, 1);
const put = (name, values) => {
  const buffer = gl.createBuffer();
  gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
  gl.bufferData(gl.ARRAY_BUFFER, values, gl.STATIC_DRAW);
  return { name, buffer };
};
const normalsOf = (xyz, faces) => {
  const out = new Float32Array(xyz.length);
  for (let f = 0; f < faces.length; f += 3) {
    const [a, b, c] = [faces[f] * 3, faces[f + 1] * 3, faces[f + 2] * 3];
    const u = [0, 1, 2].map(i => xyz[b + i] - xyz[a + i]), v = [0, 1, 2].map(i => xyz[c + i] - xyz[a + i]);
    const n = [u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]];
    for (const at of [a, b, c]) for (let i = 0; i < 3; i++) out[at + i] += n[i];
  }
  for (let i = 0; i < out.length; i += 3) {
    const length = Math.hypot(out[i], out[i + 1], out[i + 2]) || 1;
    for (let k = 0; k < 3; k++) out[i + k] /= length;
  }
  return out;
};
const sides = Object.entries(data.sides).map(([name, side]) => {
  const xyz = Float32Array.from(new Int16Array(bytes(side.xyz).buffer), v => v / 32000);
  const faces = new Uint16Array(bytes(side.faces).buffer), index = gl.createBuffer();
  gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, index);
  gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, faces, gl.STATIC_DRAW);
  return { name, index, n: faces.length, sulci: bytes(side.sulci), shift: name === "L" ? -0.4 : 0.4,
    place: put("place", xyz), normal: put("normal", normalsOf(xyz, faces)) };
});
const paint = map => {
  const colours = bytes(map.colours);
  for (const side of sides) {
    const steps = bytes(map[side.name]), out = new Float32Array(steps.length * 3);
    steps.forEach((step, i) => {
      const bare = side.sulci[i] ? 0.62 : 0.78;
      for (let k = 0; k < 3; k++) out[3 * i + k] = step ? colours[3 * step + k] / 255 : bare;
    });
    side.colour = put("colour", out);
  }
  const stops = [1, 64, 128, 192, 255].map(s => `rgb(${colours.slice(3 * s, 3 * s + 3).join(",")})`);
  document.getElementById("cortex-scale").style.background = `linear-gradient(90deg, ${stops.join(",")})`;
  ["low", "high"].forEach((end, i) => { document.getElementById(`cortex-${end}`).textContent = map.ends[i]; });
};
const view = { zoom: 1 };
const draw = () => {
  const width = canvas.clientWidth * devicePixelRatio, height = canvas.clientHeight * devicePixelRatio;
  if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
  gl.viewport(0, 0, width, height);
  gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
  const at = name => gl.getUniformLocation(program, name), rad = Math.PI / 180;
  const [c, s] = [Math.cos(view.yaw * rad), Math.sin(view.yaw * rad)];
  const [d, t] = [Math.cos(view.tilt * rad), Math.sin(view.tilt * rad)];
  /* columns are x (right), y (front), z (up); at rest the head is seen from behind */
  gl.uniformMatrix3fv(at("turn"), false, [c, t * s, -d * s, -s, t * c, -d * c, 0, d, t]);
  const unit = 0.86 * view.zoom, shape = width / height;
  gl.uniform2f(at("zoom"), unit / Math.max(shape, 1), unit * Math.min(shape, 1));
  for (const side of sides) {
    if (view.side !== "both" && view.side !== side.name) continue;
    gl.uniform3f(at("shift"), view.side === "both" ? side.shift : 0, 0, 0);
    for (const { name, buffer } of [side.place, side.normal, side.colour]) {
      const place = gl.getAttribLocation(program, name);
      gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
      gl.enableVertexAttribArray(place);
      gl.vertexAttribPointer(place, 3, gl.FLOAT, false, 0, 0);
    }
    gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, side.index);
    gl.drawElements(gl.TRIANGLES, side.n, gl.UNSIGNED_SHORT, 0);
  }
};
const turn = (yaw, tilt) => {
  view.yaw += yaw;
  view.tilt = Math.max(-90, Math.min(90, view.tilt + tilt));
  draw();
};
const form = document.getElementById("cortex-controls");
const choose = () => {
  const rest = { L: 90, R: -90, both: 0 };
  if (view.side !== form.elements.side.value) {
    view.side = form.elements.side.value;
    [view.yaw, view.tilt] = [rest[view.side], view.side === "both" ? 90 : 0];
  }
  paint(data.maps[+form.elements.map.value]);
  draw();
};
const keys = { ArrowLeft: [-10, 0], ArrowRight: [10, 0], ArrowUp: [0, 10], ArrowDown: [0, -10] };
canvas.addEventListener("keydown", event => {
  if (event.key === "+" || event.key === "-") { view.zoom *= event.key === "+" ? 1.1 : 1 / 1.1; draw(); }
  else if (keys[event.key]) { event.preventDefault(); turn(...keys[event.key]); }
});
canvas.addEventListener("pointerdown", event => canvas.setPointerCapture(event.pointerId));
canvas.addEventListener("pointermove", event => {
  if (canvas.hasPointerCapture(event.pointerId)) turn(event.movementX * 0.5, event.movementY * 0.5);
});
form.addEventListener("change", choose);
form.hidden = false;
addEventListener("resize", draw);
choose();
})();
