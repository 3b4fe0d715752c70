"""Questions and hints of the cards: one for every claim of the seven questions."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["HINTS"]

HINTS: Mapping[str, tuple[str, str]] = {
    "1.1": (
        "Sixteen layers, not trained yet. In which of these networks does less than a tenth of the last layer's "
        "gradient reach layer 1?",
        "Each layer multiplies the gradient by its weights times the activation's slope. A sigmoid's slope is at most "
        "1/4, so it loses at any usual start. A tanh has slope 1 at zero: with Xavier's weights it loses little, with "
        "the smaller default ones much.",
    ),
    "1.2": (
        "Now 4, 8 and 16 layers. In which networks does every further layer cost more gradient?",
        "The loss is a factor per layer, so it adds up in powers of ten: a factor slightly below one still shrinks "
        "with depth, slowly.",
    ),
    "1.3": (
        "Fifty steps of training. Where does layer 1 change less than a tenth as much as layer 10?",
        "What a weight feels is the gradient behind it times the signal before it. In the tanh network the signal "
        "shrinks towards the output while the gradient shrinks towards the input, so all layers move about equally. "
        "Adam divides the size of a gradient out.",
    ),
    "1.4": (
        "Each network at its best learning rate. Where do ten layers lose more than five points of accuracy against "
        "two?",
        "Depth alone does no harm: where the factor per layer is near one (tanh with Xavier's weights), ten layers "
        "train almost as well as two.",
    ),
    "2.1": (
        "Xavier's rule: mean 0 and variance 2 / (n_in + n_out). For which shapes do drawn weights keep to it within "
        "3 %?",
        "The rule is about the distribution, so it holds for every shape; a single draw scatters around it, the less "
        "the more weights there are.",
    ),
    "2.2": (
        "Ten layers with Xavier's weights. With which activations does a layer keep the spread of the signal within "
        "10 %?",
        "Xavier's argument takes the activation for the identity. A tanh in full swing compresses, a relu drops half, "
        "and a sigmoid's slope of at most 1/4 takes three quarters of every difference.",
    ),
    "2.3": (
        "The same networks, backwards: where does a layer keep the size of the gradient within 10 %?",
        "Backwards the slope of the activation counts. It is 1 only for the identity and for a tanh that is fed "
        "quietly.",
    ),
    "2.4": (
        "Against PyTorch's default start: does Xavier bring ten times more gradient to layer 1, or better?",
        "PyTorch's default variance is a third of 1/n_in, so every layer loses √3 or more; over nine layers that is "
        "more than a hundred.",
    ),
    "2.5": (
        "Which of these starts keeps a tenth or more of the gradient through ten sigmoid layers?",
        "A sigmoid has two faults: slope 1/4 and mean 1/2. A gain of 4 mends the slope and makes the offset worse; the "
        "bias −½ Σw takes the offset away and leaves the slope. Only both together work.",
    ),
    "2.6": (
        "Xavier is often said to suit tanh and sigmoid. Which of them trains ten layers to 85 %?",
        "At Xavier's weights each sigmoid layer still takes three quarters of the differences between examples: behind "
        "ten layers all examples look the same.",
    ),
    "2.7": (
        "Ten sigmoid layers in training. From which of these starts do they reach 85 %?",
        "What was true of the gradient is true of the training: slope and mean have to be mended together.",
    ),
    "3.1": (
        "Whose slope falls below 0.05 for large inputs?",
        "Bounded functions must flatten on both sides: there their slope goes to zero.",
    ),
    "3.2": (
        "In which networks is a tenth or more of the units saturated before training?",
        "Whether a unit saturates depends on the level of its input, and the level on the start: quiet weights keep "
        "units in the steep middle.",
    ),
    "3.3": (
        "In which networks does training saturate more units?",
        "Weights grow in training and drive units outwards, but a network that hardly learns hardly moves its units.",
    ),
    "3.4": (
        "Every activation gets the gain that keeps its level. Which still loses 5 % or more of the gradient in every "
        "layer?",
        "Tanh at its level-keeping gain even lets the gradient grow a little: its compression is paid forwards. A "
        "sigmoid's level is mostly its constant mean, so hardly any of its slope is left.",
    ),
    "3.5": (
        "For which activations does mean-field theory predict that factor within 10 %?",
        "Theory is for infinitely wide layers. It is good at width 256 unless a function is nearly flat at zero, where "
        "rare large inputs carry the whole signal (tanhshrink).",
    ),
    "3.6": (
        "A softmax that is sure and wrong. In which uses does its gradient vanish?",
        "Cross-entropy takes the logarithm of the softmax, which cancels the flat part: the gradient is p − y, largest "
        "when the network is sure and wrong.",
    ),
    "3.7": (
        "Is the gradient of cross-entropy by the logits exactly p − y?",
        "log softmax(z) has the derivative 1 − p at the true class and −p elsewhere; that is y − p.",
    ),
    "4.1": (
        "Twelve layers with weights too large. Where does the gradient grow more than tenfold towards the input?",
        "It is the product of vanishing gradients with a factor above one. A tanh saturates and damps the growth, but "
        "weights three times too large still win.",
    ),
    "4.2": (
        "In which network are weights thrown by a tenth of their size in one step, and doubled within 30?",
        "An exploding gradient needs a large signal or a large loss to throw weights. Saturated tanh units bound the "
        "signal, so the steps stay small although the gradient grows towards the input.",
    ),
    "4.3": (
        "Where does the loss jump to more than ten times its first value?",
        "Only where outputs are unbounded (relu) can the loss run away; a tanh network bounds its outputs.",
    ),
    "4.4": (
        "Weights too large, three ways of training. Which ends below half accuracy?",
        "Clipping keeps numbers finite and does not mend the start; Adam divides the size of the gradient out and gets "
        "through.",
    ),
    "4.5": (
        "Does clipping the gradient to norm 1 keep the training from diverging?",
        "A clipped step is never longer than the learning rate, so numbers stay finite.",
    ),
    "4.6": (
        "With clipping, is a start that explodes as good as a healthy one?",
        "The outputs start far too loud, and short steps take long to bring the loss down from there.",
    ),
    "5.1": (
        "Each start at its best learning rate. Where does the proper start learn faster?",
        "Even one layer gains a little; deep networks gain everything.",
    ),
    "5.2": (
        "Where do more learning rates train from the proper start?",
        "Tolerance comes from depth as well: with one hidden layer nearly every rate works from either start.",
    ),
    "5.3": (
        "At the same training loss, where does the proper start generalize better?",
        "Speed is not generalization. Only against weights that are far too large, which fit without changing their "
        "features, is there a difference.",
    ),
    "6.1": (
        "Does every unit behind a batch norm have mean 0 and spread 1 over the batch?",
        "At the start the learned scale and shift are 1 and 0, so what is left is exactly the normalised unit.",
    ),
    "6.2": (
        "Weights from half to double size. With batch norm, does the signal stay within 10 %?",
        "The scale of the weights cancels when a unit is divided by its own spread.",
    ),
    "6.3": (
        "For which sizes of the weights does batch norm bring the gradient closer to level?",
        "It mends starts that are bad. At the proper start it makes things worse: in a plain relu net it lets the "
        "gradient grow in every layer.",
    ),
    "6.4": (
        "Does the worst start gain more than five points of accuracy by batch norm?",
        "The scale of the weights cancels, so a wrong scale can no longer spoil the signal.",
    ),
    "6.5": (
        "From which starts does batch norm allow a higher learning rate?",
        "Larger weights have smaller gradients behind a norm, so a large step brakes itself.",
    ),
    "6.6": (
        "At which step sizes do successive gradients agree better with batch norm?",
        "The effect depends on the step: at small ones a plain network is just as steady.",
    ),
    "6.7": (
        "Does batch norm work on a batch of one?",
        "One example has no spread over the batch to divide by; PyTorch refuses it.",
    ),
    "6.8": (
        "At which depths do gradients grow towards the input by the factor that theory gives?",
        "Each relu brings examples closer together, and the norm divides by the smaller spread between them: the "
        "gradient is multiplied by 1.47 a layer in its second moment.",
    ),
    "6.9": (
        "Shifts are put back on purpose behind every batch norm. Is most of its gain lost?",
        "If batch norm worked by taking shifts away, putting them back would undo it. It does not.",
    ),
    "7.1": (
        "He's rule: variance 2 / n_in. In which layers do the frameworks' own initializers keep to it?",
        "Both frameworks draw it. Keras cuts the tails off and widens the rest, so that the variance is the same.",
    ),
    "7.2": (
        "784 → 128 → 10 with He, Adam and cross-entropy on MNIST: in which framework does it reach 90 %?",
        "One hidden layer trains from almost any start; the frameworks differ in nothing that matters here.",
    ),
    "7.3": (
        "He's gain on the output layer too: does the loss start at log 10, that of equal probabilities?",
        "The factor of 2 makes up for a relu behind the layer, and behind the output there is none: the first logits "
        "are too loud, and the loss starts above.",
    ),
    "7.4": (
        "Thirty relu layers. With which optimizer does He's start train and Xavier's not?",
        "Xavier's missing factor of 2 is paid thirty times, which plain momentum cannot make up for. Adam divides the "
        "size of a gradient out and trains from both.",
    ),
    "7.5": (
        "In which layers is the framework's default He's rule?",
        "PyTorch's nn.Linear draws with a sixth of He's variance, and Keras's Dense with Glorot's rule, which comes "
        "near He's only where a layer has far fewer outputs than inputs.",
    ),
}
"""The question to the learner and the hint after a wrong guess, by the id of the claim."""
