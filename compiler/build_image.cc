// SPDX-License-Identifier: Apache-2.0
// Networks of images, arrays of channels, height and width: convnet, and resnet where its argument is one.
#include <algorithm>

#include <fmt/format.h>

#include "compiler/build_network.h"

namespace amo::compiler {

// 3 by 3 convolutions, each with pooling by 2 while there is room; then an mlp.
Term ConvolutionNet(Net& net, const std::vector<Term>& args, const Shape& result) {
  Scope& s = net.s;
  if (args.size() != 1 || s.Own(args[0]).size() != 3)
    s.Refuse(lang::Code::kShapeMismatch, net.at, "`convnet` takes one array of channels, height and width");
  const std::string activation = net.Activation();
  Term h = s.Real(args[0]);
  for (std::int64_t channels : net.Sizes("channels", {16, 32})) {
    h = net.Activated(activation, net.Convolution(h, channels, {3, 3}, 1, 1, net.at));
    if (s.Own(h)[1] >= 2 && s.Own(h)[2] >= 2) h = s.MaxPooled(h, 2, 2, net.at);
  }
  return net.Mlp(s.Flat(h), net.Sizes("hidden", {}), activation, Count(result));
}

constexpr std::int64_t kBlocksOf34[] = {3, 4, 6, 3};  // by stage; of 18 layers two in each

// He, Zhang, Ren, Sun 2016, with `layers` as they count them, 18 or 34: a first convolution, (layers - 2) / 2 blocks of
// two in up to four stages, each of which begins with half the picture and twice the channels, and a linear layer of
// the mean over the picture. There is no normalization, whose running means no function has: the second convolution of
// each block starts at zero instead, so that every block starts as the identity (Goyal et al. 2017, section 5.1).
Term ImageResidualNet(Net& net, const Term& image, const Shape& result) {
  Scope& s = net.s;
  const std::int64_t layers = net.Whole("layers", 18), width = net.Whole("hidden", 64);
  if (layers < 4 || layers % 2 != 0)
    s.Refuse(lang::Code::kDomain, net.at, fmt::format("a `resnet` of {} layers over an image", layers),
             "an even number, at least 4: one convolution, blocks of two, one linear layer");
  const std::string activation = net.Activation();
  const bool large = std::min(s.Own(image)[1], s.Own(image)[2]) >= 64;
  Term h = net.Activated(activation, large ? net.Convolution(image, width, {7, 7}, 2, 3, net.at)
                                           : net.Convolution(image, width, {3, 3}, 1, 1, net.at));
  if (large) h = s.MaxPooled(h, 2, 2, net.at);
  const std::int64_t blocks = (layers - 2) / 2, stages = std::min<std::int64_t>(4, blocks);
  for (std::int64_t stage = 0, channels = width; stage < stages; ++stage, channels *= 2) {
    const std::int64_t here =
        layers == 34 ? kBlocksOf34[stage] : blocks / stages + (stage < blocks % stages ? 1 : 0);
    for (std::int64_t k = 0; k < here; ++k) {
      const bool halves = stage > 0 && k == 0;
      const std::int64_t stride = halves ? 2 : 1;
      const Term first = net.Activated(activation, net.Convolution(h, channels, {3, 3}, stride, 1, net.at));
      const Term second = net.Convolution(first, channels, {3, 3}, 1, 1, net.at, 0.0);
      const Term kept = halves ? net.Convolution(h, channels, {1, 1}, stride, 0, net.at) : h;
      h = net.Activated(activation, s.Add(kept, second));
    }
  }
  const Shape own = s.Own(h);
  const Term mean = s.Div(s.ReduceOwn(Op::kReduceSum, h, {1, 2}), s.Number(static_cast<double>(own[1] * own[2])));
  return net.Dense(mean, Count(result));
}

}  // namespace amo::compiler
