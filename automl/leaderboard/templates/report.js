(function () {
  "use strict";
  // A figure names its colours ('@accent'); only keys that end in 'color' or 'colorscale' are looked at,
  // so a class that happens to be called '@accent' stays what it is.
  function coloured(value, key, style) {
    if (typeof value === "string") {
      return /color$/.test(key) && value[0] === "@" ? style.getPropertyValue("--" + value.slice(1)).trim() : value;
    }
    if (Array.isArray(value)) {
      if (key === "colorscale") {
        return value.map(function (stop) { return [stop[0], coloured(stop[1], "color", style)]; });
      }
      return value.map(function (one) { return coloured(one, key, style); });
    }
    if (value && typeof value === "object") {
      var copy = {};
      Object.keys(value).forEach(function (name) { copy[name] = coloured(value[name], name, style); });
      return copy;
    }
    return value;
  }
  var config = { displayModeBar: false, responsive: true, scrollZoom: false, doubleClick: false };
  var figures = document.querySelectorAll("script[data-chart]");
  function draw(width) {
    var style = getComputedStyle(document.documentElement);
    figures.forEach(function (source) {
      var place = document.getElementById(source.dataset.chart);
      if (!place.offsetWidth) { return; } // folded away; drawn when it is opened
      var figure = coloured(JSON.parse(source.textContent), "", style);
      figure.layout.font.family = getComputedStyle(document.body).fontFamily;
      if (width) { figure.layout.width = Math.min(width, place.offsetWidth); }
      Plotly.react(place, figure.data, figure.layout, config);
    });
  }
  // Plotly comes packed, which halves the page; unpacking needs a browser of 2023 or later.
  function unpacked() {
    var packed = atob(document.getElementById("plotly").textContent);
    var bytes = Uint8Array.from(packed, function (letter) { return letter.charCodeAt(0); });
    return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
  }
  if (typeof DecompressionStream === "undefined") {
    document.getElementById("no-pictures").hidden = false;
    return;
  }
  unpacked().then(function (code) {
    var script = document.createElement("script");
    script.textContent = code;
    document.head.appendChild(script);
    draw();
    follow();
    document.documentElement.dataset.drawn = "yes";
  });
  function follow() {
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", function () { draw(); });
    matchMedia("print").addEventListener("change", function (event) { draw(event.matches ? 680 : undefined); });
    addEventListener("beforeprint", function () {
      document.querySelectorAll("details.print").forEach(function (fold) { fold.open = true; });
    });
    document.querySelectorAll("details.fold").forEach(function (fold) {
      fold.addEventListener("toggle", function () { draw(); });
    });
  }
})();
